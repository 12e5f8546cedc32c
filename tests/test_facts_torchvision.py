"""Every torchvision classification model that has a spec: counts, smallest input, receptive field.

Figures: torchvision 0.28.0. Parameters are `num_params` of its weights' metadata (GoogLeNet's are those
of the net without auxiliary heads), MACs a recount at the published crop, which rounds to its `_ops`;
the smallest input is the smallest at which the model runs, found by trying, and equals its `min_size`.
The receptive field (size, stride, padding) is that of the last map before the global pool, found on the
torch.fx graph and, for one of each family, by a gradient in float64.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sampling import sampled

import cnnc
from cnnc.compiler.receptive_field import receptive_field

SPECS = Path(cnnc.__file__).parent / "specs"

# name: parameters, MACs, crop, smallest input, the last map's label, its field
MODELS: dict[str, tuple[int, int, int, int, str, tuple[int, int, int]]] = {
    "alexnet": (61_100_840, 714_188_480, 224, 63, "features", (195, 32, 66)),
    "densenet121": (7_978_856, 2_834_161_664, 224, 29, "features", (2071, 32, 1021)),
    "densenet161": (28_681_000, 7_727_907_072, 224, 29, "features", (2967, 32, 1469)),
    "densenet169": (14_149_480, 3_359_843_328, 224, 29, "features", (3351, 32, 1661)),
    "densenet201": (20_013_928, 4_291_365_888, 224, 29, "features", (3863, 32, 1917)),
    "googlenet": (6_624_904, 1_498_376_192, 224, 15, "inception5b", (379, 32, 167)),
    "inception_v3": (27_161_264, 5_713_216_096, 299, 75, "Mixed_7c", (1311, 32, 618)),
    "mobilenet_v2": (3_504_872, 300_774_272, 224, 1, "features", (491, 32, 245)),
    "resnet18": (11_689_512, 1_814_073_344, 224, 1, "layer4", (435, 32, 217)),
    "resnet34": (21_797_672, 3_663_761_408, 224, 1, "layer4", (899, 32, 449)),
    "resnet50": (25_557_032, 4_089_184_256, 224, 1, "layer4", (427, 32, 213)),
    "resnet101": (44_549_160, 7_801_405_440, 224, 1, "layer4", (971, 32, 485)),
    "resnet152": (60_192_808, 11_513_626_624, 224, 1, "layer4", (1451, 32, 725)),
    "squeezenet1_0": (1_248_424, 818_924_576, 224, 21, "features", (155, 16, 60)),
    "squeezenet1_1": (1_235_496, 349_151_936, 224, 17, "features", (207, 16, 88)),
    "convnext_tiny": (28_589_128, 4_455_531_264, 224, 32, "features", (1688, 32, 828)),
    "convnext_small": (50_223_688, 8_683_712_256, 224, 32, "features", (3416, 32, 1692)),
    "convnext_base": (88_591_464, 15_354_729_472, 224, 32, "features", (3416, 32, 1692)),
    "convnext_large": (197_767_336, 34_361_433_600, 224, 32, "features", (3416, 32, 1692)),
    "resnext50_32x4d": (25_028_904, 4_230_479_872, 224, 1, "layer4", (427, 32, 213)),
    "resnext101_32x8d": (88_791_336, 16_414_015_488, 224, 1, "layer4", (971, 32, 485)),
    "resnext101_64x4d": (83_455_272, 15_460_270_080, 224, 1, "layer4", (971, 32, 485)),
    "wide_resnet50_2": (68_883_240, 11_398_021_120, 224, 1, "layer4", (427, 32, 213)),
    "wide_resnet101_2": (126_886_696, 22_753_050_624, 224, 1, "layer4", (971, 32, 485)),
    "mnasnet0_5": (2_218_512, 104_455_968, 224, 1, "layers", (843, 32, 421)),
    "mnasnet0_75": (3_170_208, 215_493_104, 224, 1, "layers", (843, 32, 421)),
    "mnasnet1_0": (4_383_312, 314_415_872, 224, 1, "layers", (843, 32, 421)),
    "mnasnet1_3": (6_282_256, 526_362_432, 224, 1, "layers", (843, 32, 421)),
    "shufflenet_v2_x0_5": (1_366_792, 40_476_448, 224, 1, "conv5", (527, 32, 263)),
    "shufflenet_v2_x1_0": (2_278_604, 144_907_992, 224, 1, "conv5", (527, 32, 263)),
    "shufflenet_v2_x1_5": (3_503_624, 295_759_392, 224, 1, "conv5", (527, 32, 263)),
    "shufflenet_v2_x2_0": (7_393_996, 583_253_464, 224, 1, "conv5", (527, 32, 263)),
    "mobilenet_v3_large": (5_483_032, 216_589_760, 224, 1, "features", (595, 32, 297)),
    "mobilenet_v3_small": (2_542_856, 56_510_400, 224, 1, "features", (639, 32, 319)),
    "efficientnet_b0": (5_288_548, 385_814_752, 224, 1, "features", (851, 32, 425)),
    "efficientnet_b1": (7_794_184, 686_802_832, 240, 1, "features", (1183, 32, 591)),
    "efficientnet_b2": (9_109_994, 1_087_529_456, 288, 1, "features", (1183, 32, 591)),
    "efficientnet_b3": (12_233_232, 1_827_141_392, 300, 1, "features", (1407, 32, 703)),
    "efficientnet_b4": (19_341_616, 4_393_771_024, 380, 1, "features", (1799, 32, 899)),
    "efficientnet_b5": (30_389_784, 10_266_384_752, 456, 1, "features", (2131, 32, 1065)),
    "efficientnet_b6": (43_040_704, 19_067_593_536, 528, 1, "features", (2523, 32, 1261)),
    "efficientnet_b7": (66_347_960, 37_745_884_192, 600, 1, "features", (3079, 32, 1539)),
    "efficientnet_v2_l": (118_515_272, 56_079_699_008, 480, 1, "features", (3103, 32, 1551)),
    "efficientnet_v2_m": (54_139_356, 24_582_460_384, 480, 1, "features", (2219, 32, 1109)),
    "efficientnet_v2_s": (21_458_488, 8_365_617_152, 384, 1, "features", (1487, 32, 743)),
    "regnet_x_16gf": (54_278_536, 15_940_755_456, 224, 1, "trunk_output", (535, 32, 267)),
    "regnet_x_1_6gf": (9_190_136, 1_602_849_792, 224, 1, "trunk_output", (471, 32, 235)),
    "regnet_x_32gf": (107_811_560, 31_735_929_792, 224, 1, "trunk_output", (551, 32, 275)),
    "regnet_x_3_2gf": (15_296_552, 3_176_621_952, 224, 1, "trunk_output", (663, 32, 331)),
    "regnet_x_400mf": (5_495_976, 413_812_608, 224, 1, "trunk_output", (975, 32, 487)),
    "regnet_x_800mf": (7_259_656, 799_699_712, 224, 1, "trunk_output", (543, 32, 271)),
    "regnet_x_8gf": (39_572_648, 7_995_132_416, 224, 1, "trunk_output", (583, 32, 291)),
    "regnet_y_128gf": (644_812_894, 127_517_815_680, 224, 1, "trunk_output", (679, 32, 339)),
    "regnet_y_16gf": (83_590_140, 15_911_510_272, 224, 1, "trunk_output", (439, 32, 219)),
    "regnet_y_1_6gf": (11_202_430, 1_612_076_160, 224, 1, "trunk_output", (727, 32, 363)),
    "regnet_y_32gf": (145_046_770, 32_279_552_832, 224, 1, "trunk_output", (487, 32, 243)),
    "regnet_y_3_2gf": (19_436_338, 3_176_482_752, 224, 1, "trunk_output", (519, 32, 259)),
    "regnet_y_400mf": (4_344_144, 401_842_848, 224, 1, "trunk_output", (575, 32, 287)),
    "regnet_y_800mf": (6_432_512, 833_856_256, 224, 1, "trunk_output", (383, 32, 191)),
    "regnet_y_8gf": (39_381_472, 8_473_070_592, 224, 1, "trunk_output", (407, 32, 203)),
    "vgg11": (132_863_336, 7_609_090_048, 224, 32, "features", (150, 32, 59)),
    "vgg11_bn": (132_868_840, 7_609_090_048, 224, 32, "features", (150, 32, 59)),
    "vgg13": (133_047_848, 11_308_466_176, 224, 32, "features", (156, 32, 62)),
    "vgg13_bn": (133_053_736, 11_308_466_176, 224, 32, "features", (156, 32, 62)),
    "vgg16": (138_357_544, 15_470_264_320, 224, 32, "features", (212, 32, 90)),
    "vgg16_bn": (138_365_992, 15_470_264_320, 224, 32, "features", (212, 32, 90)),
    "vgg19": (143_667_240, 19_632_062_464, 224, 32, "features", (268, 32, 118)),
    "vgg19_bn": (143_678_248, 19_632_062_464, 224, 32, "features", (268, 32, 118)),
}

OF_ANOTHER_NAME = {"alexnet": "alexnet_torchvision", "googlenet": "googlenet_torchvision"}
INCEPTION_AUX = 3_326_696
"""Parameters of inception_v3's auxiliary head, which `num_params` has in it and `_ops` has not."""


def spec_text(name: str) -> str:
    """The shipped spec without its claims; a VGG of norms that does not ship is one call of the same block."""
    path = SPECS / f"{OF_ANOTHER_NAME.get(name, name)}.cnn"
    if not path.exists():
        base = spec_text(name.removesuffix("_bn"))
        assert base.count("(") == base.count(")")
        head = next(line for line in base.splitlines() if line.startswith("model"))
        return base.replace(head, head.replace(")", ", norm=bn, bias=yes)"))
    return path.read_text().partition("\nexpect")[0] + "\n"


def parsed(text: str) -> cnnc.Net:
    return cnnc.parse(text, name=str(SPECS / "m.cnn"))


@pytest.mark.parametrize("name", MODELS)
def test_counts_and_field(name: str) -> None:
    params, macs, crop, _, last, field = MODELS[name]
    net = parsed(spec_text(name))
    assert list(net.inputs.values()) == [(3, crop, crop)]
    assert net.params == params - (INCEPTION_AUX if name == "inception_v3" else 0)
    assert net.macs == macs
    found = receptive_field(net.graph, net.graph.labels[last])
    assert found is not None
    assert found.aligned
    without_gates = found.ungated or found.axes
    axes = {(axis.size, axis.stride, axis.start) for axis in without_gates}
    size, stride, padding = field
    assert axes == {(size, stride, -padding)}


def test_inception_has_its_auxiliary_head_in_a_spec_of_its_own() -> None:
    assert cnnc.load(SPECS / "inception_v3_aux.cnn").params == MODELS["inception_v3"][0]


# torchvision brings the last map to the size that the classifier takes. For the published crop that
# is the identity, so the specs of VGG leave it out; here the input is free.
ADAPTED = "adaptiveavgpool7\n"


@pytest.mark.parametrize("name", sampled(tuple(MODELS), 3))
def test_smallest_legal_input(name: str) -> None:
    _, _, crop, smallest, _, _ = MODELS[name]
    text = spec_text(name)
    block = (SPECS / "blocks" / "vgg.cnn").read_text()
    if 'from "blocks/vgg.cnn"' in text:
        text = text.replace('use vgg from "blocks/vgg.cnn"\n', block)
    if name.startswith("vgg"):
        before = text
        text = text.replace("classifier: [[fc", f"{ADAPTED}classifier: [[fc")
        assert text != before
    net = parsed(text.replace(f"3x{crop}x{crop}", "3xHxW"))
    assert [(limits.symbol, limits.smallest, limits.remainders) for limits in net.limits] == [
        ("H", smallest, ()),
        ("W", smallest, ()),
    ]
    for n in {smallest, smallest + 1, crop}:
        assert parsed(text.replace(f"3x{crop}x{crop}", f"3x{n}x{n}")).params == parsed(text).params
    if smallest > 1:
        with pytest.raises(cnnc.CnncError, match="E403"):
            parsed(text.replace(f"3x{crop}x{crop}", f"3x{smallest - 1}x{smallest - 1}"))


@pytest.mark.parametrize("name", sampled(tuple(MODELS), 3))
def test_torchvision_runs_at_the_smallest_and_no_smaller(name: str) -> None:
    """So that the figure copied is that of the installed version, too; shapes only, on the meta device."""
    torch = pytest.importorskip("torch")
    from torchvision_oracle import regnets_on_meta, torchvision_models

    smallest = MODELS[name][3]
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    models = torchvision_models()
    with torch.device("meta"), regnets_on_meta():
        model = getattr(models, name)(weights=None, **options).eval()
        with torch.no_grad():
            assert model(torch.empty(1, 3, smallest, smallest)).shape == (1, 1000)
            if smallest > 1:
                with pytest.raises(RuntimeError):
                    model(torch.empty(1, 3, smallest - 1, smallest - 1))
