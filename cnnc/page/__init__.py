"""`cnnc live`: a page on this machine alone that shows a spec as it is written, by the engine of `cnnc.live`."""
