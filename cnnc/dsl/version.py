"""The version, in the one place of it: a source tree, a zip or a vendored folder has no installed metadata."""

VERSION = "0.1.0"
