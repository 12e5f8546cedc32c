"""What people write by habit from PyTorch, Keras, YAML and Python: the message names cnnc's form, and it compiles."""

from __future__ import annotations

import pytest

import cnnc

HABITS = (
    ("nn.Conv2d(3, 64, 3, padding=1)", "write `conv3-64`", "conv3-64"),
    ("Conv2d(3, 64, 3, stride=2, padding=1)", "write `conv3-64/2`", "conv3-64/2"),
    ("Conv2d(3, 64, 3)", "write `conv3-64(pad=valid)`", "conv3-64(pad=valid)"),
    ("Conv2D(32, (3, 3), padding=same, activation=relu)", "write `conv3-32(act=relu)`", "conv3-32(act=relu)"),
    ("Conv2D(32, 1)", "write `conv1-32`", "conv1-32"),
    ("ConvTranspose2d(3, 8, 2, 2)", "write `tconv2-8/2`", "tconv2-8/2"),
    ("SeparableConv2D(8, 3, padding=same)", "write `sepconv3-8`", "sepconv3-8"),
    ("DepthwiseConv2D(3, padding=same)", "write `dwconv3`", "dwconv3"),
    ("MaxPool2d(2)", "write `maxpool2`", "maxpool2"),
    ("MaxPool2d(3, 2, 1)", "write `maxpool3/2(pad=1)`", "maxpool3/2(pad=1)"),
    ("MaxPooling2D((2, 2), strides=2)", "write `maxpool2`", "maxpool2"),
    ("AvgPool2d(2)", "write `avgpool2`", "avgpool2"),
    ("AdaptiveAvgPool2d(1)", "write `gap`", "gap"),
    ("AdaptiveAvgPool2d((7, 7))", "write `adaptiveavgpool7`", "adaptiveavgpool7"),
    ("GlobalAveragePooling2D()", "write `gap`", "gap"),
    ("nn.BatchNorm2d(3)", "write `bn`", "bn"),
    ("BatchNormalization()", "write `bn`", "bn"),
    ("Linear(3072, 10)", "write `fc-10`", "fc-10"),
    ("Dense(10, activation=softmax)", "write `fc-10 -> softmax`", "fc-10 -> softmax"),
    ("Dropout2d(0.2)", "write `spatialdropout(0.2)`", "spatialdropout(0.2)"),
    ("LeakyReLU(negative_slope=0.1)", "write `leaky(0.1)`", "leaky(0.1)"),
    ("Upsample(scale_factor=2, mode=nearest)", "write `upsample(2)`", "upsample(2)"),
    (
        "Upsample(scale_factor=1.5, mode=bicubic)",
        "write `resize(1.5, mode=bicubic)`",
        "resize(1.5, mode=bicubic)",
    ),
    ("UpSampling2D()", "write `upsample(2)`", "upsample(2)"),
    ("ZeroPadding2D(1)", "write `pad(1)`", "pad(1)"),
    ("tf.keras.layers.Dense(10)", "write `fc-10`", "fc-10"),
    ("Sequential(a, b)", "[a -> b]", "[conv3-64 -> bn -> relu]"),
    ("concat(a, b)", "[a | b]", "[conv3-4 | conv1-4]"),
    ("add(a)", "[id + conv3-64]", "[id + conv3-3]"),
    ("se", "use se from std", "use se from std\nconv3-64 -> se"),
    ("bottleneck(64)", "use bottleneck from std", "use bottleneck from std\nbottleneck(64)"),
    ("conv3-64(activation=relu)", "write act=relu", "conv3-64(act=relu)"),
    ("conv3-64(strides=2)", "write /2 in the word", "conv3-64/2"),
    ("conv3-64(use_bias=False)", "write bias=no", "conv3-64(bias=no)"),
    ("conv3-64(dilation_rate=2)", "write dilation=2", "conv3-64(dilation=2)"),
    ("conv3-64(in_channels=3)", "leave it out", "conv3-64"),
    ("leaky(negative_slope=0.1)", "write slope=0.1", "leaky(slope=0.1)"),
    ("conv3-64(act='relu')", "write act=relu", "conv3-64(act=relu)"),
    ("conv3-64 x2", "write [conv3-64]*2", "[conv3-64]*2"),
    ("conv3-64 * 2", "write [conv3-64]*2", "[conv3-64]*2"),
    ("[conv3-64] x 2", "write […]*2", "[conv3-64]*2"),
    ("3*[conv3-64]", "write […]*3", "[conv3-64]*3"),
    ("(conv3-64)*3", "write […]*3", "[conv3-64]*3"),
    ("{conv3-64}*3", "write […]*3", "[conv3-64]*3"),
    ("[conv3-64]^3", "write […]*3", "[conv3-64]*3"),
    ("conv3-64 // first", "write # in place of //", "conv3-64 # first"),
    ("conv3-64; pool", "write a new line", "conv3-64\npool"),
    ("conv3-64 \\\n  -> pool", "leave the `\\` out", "conv3-64\n  -> pool"),
    ("conv3-64 => pool", "write -> in place of =>", "conv3-64 -> pool"),
    ("Input 3x32x32", "write input", "conv3-64"),
    ("param w: 32", "write param w = 32", "param w = 32\nconv3-w"),
    ("w = 64", "write param w = 64", "param w = 64\nconv3-w"),
    ("x = conv3-64", "write x: conv3-64", "x: conv3-64"),
    ("block b(w):", "write block b(w) = …", "block b(w) = conv3-w\nb(8)"),
    ("block b w = conv3-w", "write block b(w) = …", "block b(w) = conv3-w\nb(8)"),
    ("def b(w):", "write block b(w) = …", "block b(w) = conv3-w\nb(8)"),
    ("for i in range(3):", "[… for i in 0..2]", "[conv3-{8*(i+1)} for i in 0..2]"),
    ("[conv{i}-8 for i in range(1, 4)]", "write 1..3", "[conv{2*i+1}-8 for i in 1..3]"),
    (
        "import torch.nn as nn\nclass Net(nn.Module):\n  pass",
        "a .cnn file is layers",
        "conv3-64 -> pool -> fc-10",
    ),
    ("from std import se", "write use se from std", "use se from std\nse(1)"),
    ("conv3-64\nassert params == 3", "write expect params == 3", "conv3-64\nexpect params > 3"),
    ("- conv3-64", "drop the dash: conv3-64", "conv3-64"),
    ("- [-1, 1, Conv, [64, 3, 2]]", "c3: conv3-64", "c3: conv3-64"),
    ("model my.net\nconv3-64", "write model my_net", "model my_net\nconv3-64"),
    ("0: conv3-8", 'write "0": conv3-8', '"0": conv3-8'),
    ("conv3-64\nexpect params < 3k", "write `K` right behind", "conv3-64\nexpect params < 3K"),
    ("param w = 8\nconv3-2*w", "write conv3-{2*w}", "param w = 8\nconv3-{2*w}"),
    ("block b(k, w) = convk-w\nb(3, 8)", "write `conv{k}-w`", "block b(k, w) = conv{k}-w\nb(3, 8)"),
    ("<<<<<<< ours\nconv3-8\n=======\nconv3-9\n>>>>>>> theirs", "delete the three markers", "conv3-8"),
)
"""What is typed, a part of the hint, and the spec that follows it."""


@pytest.mark.parametrize(("typed", "hint", "fixed"), HABITS, ids=[typed for typed, _, _ in HABITS])
def test_a_habit_is_answered_with_the_form_to_write(typed: str, hint: str, fixed: str) -> None:
    head = "input 3x32x32\n"
    with pytest.raises(cnnc.CnncError) as caught:
        cnnc.parse(head + typed)
    (found,) = caught.value.diagnostics
    assert found.hint is not None
    assert hint in found.hint
    cnnc.parse(head + fixed)


@pytest.mark.parametrize(
    "line", ["conv3-64 -> pool", "c3: [conv3-64]*2", "expect params == 3K", "# x = 3; // no", 'a: "b.0"']
)
def test_the_languages_own_forms_are_no_habit(line: str) -> None:
    from cnnc.dsl import foreign_lines

    assert foreign_lines.form(line) is None
