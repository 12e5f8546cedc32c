"""The smallest specs that use each form of the language's second half, by the parts of the manual that they are in.

A text without an input is on 4x8x8. `test_language_2.py` sends each through every way out; the fuzzer starts from them, too.
"""

from __future__ import annotations

HEAD = "input 4x8x8\n"

LISTS = (
    "param ws = (4, 8, 6)\n[conv3-w for w in ws]",
    "param ps = ((1, 4), (2, 8))\n[[conv3-w]*n for n, w in ps] -> conv3-{ps[1][0]}",
    "param ws = (4, 8, 6)\nconv3-{ws[0]} -> [conv1-w for w in ws[1..2]] -> [conv1-w for w in ws[..1]] -> [conv1-w for w in ws[2..1]]",
    "param ws = (4, 8, 6)\nconv3-{len(ws)} -> conv3-{sum(ws)} -> conv3-{sum(ws[1..])}",
    "param ws = (4, 8, 6)\n[conv3-8 if 4 in ws] -> [conv1-8 if C in 1..4] -> [conv1-6 if C not in ws else pool]",
    "block stages(n, *ws) = [[conv3-w]*n for w in ws]\nstages(2, 4, 8) -> stages(1)",
    "block fuse(*maps) = [+ [f -> conv1-w(act=none)] for f, w in maps]\na: conv3-8\nb: conv3-6\nfuse((a, 4), (b, 4)) -> relu",
    "block fuse(*maps) = [| f for f in maps]\na: conv3-8\nb: conv3-6\nfuse(a, b, [a -> conv1-2]) -> conv1-4",
    "[[conv3-w]*n for n, w in (2, 6)] -> [[conv3-w]*n for n, w in (1, 6), (2, 4)]",
    "param sizes = (3, 5)\n[+ conv{k}-8 for k in sizes] -> relu",
    "[conv1-w for _, w in (3, 5), (1, 4)] -> [conv3-4 for _ in 1..2]",
    "param ws = ()\nblock all(*ws) = [conv3-w for w in ws]\n[conv1-w for w in ws] -> all(4) -> all() -> conv3-{2+len(())}",
    "param n = 3\n[conv3-w for w in (4,)] -> [conv{k}-4 for k in (3,)] -> [conv3-{4*i} for i in 1..n]",
)
FLAGS = (
    "param se = yes\n[[id & gap -> conv1-C(act=sigmoid)] if se] -> conv3-4",
    "param se = no\n[conv3-4 if se else conv1-4] -> [conv3-6 if not se] -> [pool if se == no]",
    "block unit(w, down=no, wide=yes) = [conv3-w/{2 if down else 1} -> [conv1-{2*C} if wide and not down]]\nunit(4) -> unit(4, down=yes, wide=no)",
)
NUMBERS = (
    "conv3-16 -> fc-1_000 -> fc-10",
    "max-pool -> conv3-4 -> avg-pool -> soft-max",
    "CONV-3-8 -> POOL-2 -> CONV-1-4",
    "conv-3x3x6/2 -> FC-10",
)
SETTINGS = (
    'use unit from "parts.cnn"\nuse unit as half from "parts.cnn" (width=0.5, act=silu)\nunit(8) -> half(8)',
    "param width = 1.0\nconv3-{16*width} -> gap -> fc-10\nexpect params == 762\nexpect params == 386 with width=0.5",
    "conv3-8(norm=bn) -> a: pool\n[id | conv1-4 -> id]\nexpect state == 17\nexpect (rf(output), stride(output)) == (4, 2)\nexpect (rf(a), 2) == (4, 2)",
)
CHOICES = (
    "[conv3-4 if C == 4] -> [pool if C == 3] -> conv1-4",
    "block unit(w, s=1) = [conv3-w/s + [id if s == 1 else none]] -> relu\nunit(4) -> unit(4, 2)",
    "[id + [+ conv3-4 for i in 1..0]] -> conv3-4",
    "[id | [| conv{k}-4 for k in 1, 3] | [conv3-2 if C > 9 else none]] -> conv1-4",
    "a: [conv3-4 + [identity: bn if C == 4 else none]] -> relu -> b: [conv3-4 + [identity: bn if C == 9 else none]] -> relu",
    "[conv3-4 & [gap -> conv1-C(act=sigmoid) if C == 4 else id]]",
    "[conv3-4 -> conv3-4 | [conv1-4 if C < 9 else none]] -> conv1-4",
    "param n = 2\n[id + [conv3-4 if n == 1 else conv1-4 -> dropout if n == 2 else none]] -> relu",
)
BRANCHES = (
    "a: [conv3-4 -> conv3-4 + [conv1-4 if C > 9 else none]] -> relu -> conv3-4",
    "[& conv3-4 for i in 1..1] -> pool",
    "default conv(norm=bn)\nblock unit(w, s=1) = [block: [conv1-{2*C} -> dwconv3/s -> conv1-w(act=none)] + shortcut(kind=same)]\nunit(4) -> unit(8, 2) -> unit(8)",
    "[conv3-6 + shortcut(kind=pad)] -> relu -> [conv3-8/2 + shortcut(norm=bn)] -> relu",
)
LEVELS = (
    "features: [_: conv3-4(norm=bn) -> [_: [conv3-4 -> conv1-4] for i in 1..2]]",
    "_: [conv3-4 + id]\nrelu -> _: [x: conv3-4(act=silu) -> [x + id]]",
    "block unit(w) = [_: [conv3-w(bias=no) -> bn] -> relu]\n_: [unit(4)] -> unit(6)",
)
NAMES = (
    '["block{i}-{i+1}": conv3-4 for i in 1..2]\n["block1-2" + "block2-3"]',
    "[s{i}.a: conv3-4 for i in 1..2]\n[s1.a + s{1+1}.a]\nexpect s{2}.a == 4x8x8",
    "block{1}: conv3-4 -> block{2}: conv3-4\n[block1 + block2]",
    '[layer1.{i}.conv1: conv3-4 -> layer1.{i}.relu: relu for i in 0..1]\n"x-y.z": conv1-4\n["x-y.z" + layer1.0.conv1]',
    "block fork(w) = [y0: conv3-w -> y1: conv3-{2*w}/2]\nm: fork(4)\n[m.y0 -> pool | m.y1] -> n: fork(4)\n[n.y0 -> pool | n.y1] -> conv1-4\nexpect m.y1 == 8x4x4",
    "s: [a: [x: conv3-4 -> conv3-4] -> conv3-4]\n[s.a.x + id]\nexpect rf(s.a.x) == 3",
    "param n = 2\ns{n}.a: conv3-4\nt: conv3-4\noutput t, s{n}.a\nexpect rf(s{n}.a) == 3",
    '"b-0": [x: conv3-4 -> conv3-4]\n["b-0.x" + id] -> relu',
)
HANDED = (
    "block join(a, skip=none) = [a -> conv1-4 if skip == none else [a | skip] -> conv3-4]\na: conv3-4\nb: conv3-6\nc: join(a, b)\nd: join(a)\n[c + d] -> relu",
    "block cba(w, norm, act=relu) = conv3-w(norm=norm, act=act)\ncba(8, bn) -> cba(4, gn(2), silu) -> cba(4, none, act=leaky(0.1))",
    "block cba(w) = conv3-w(norm=bn)\nblock stage(unit, n, w) = [unit(w)]*n\nstage(cba, 2, 6)",
    "shared tower = conv3-4\nblock twice(f) = [f -> f]\ntwice(tower) -> twice([conv3-4])",
    "block both(f, *steps) = [f -> [conv1-w for w in steps]]\na: conv3-4\nboth(a, 4, 8)",
    "block pick(fs) = [+ f for f in fs]\na: conv3-4\nb: conv3-4\npick((a, b, [a -> conv3-4])) -> relu",
    "a: conv3-4/2\nconv3-4 -> b: upsample(to=a)\n[a + b] -> relu -> c: conv3-4/2 -> stretch(to=c)",
    "p: maxpool\nconv3-4 -> unpool(to=p)",
    "p: maxpool\nconv3-4 -> unpool(of=p) -> upsample(like=p)",
)
AGAIN = (
    "c: conv3-4(norm=bn) -> again(c) -> d: again(c, dilation=2) -> e: again(c, norm=bn) -> again(c, norm=none, act=silu)",
    "h: [[conv3-4]*2 -> conv3-4(act=none)] -> again(h)",
    "block unit(w) = [y: conv3-w -> conv3-w(norm=bn, act=relu)]\nu: unit(4)\nv: again(u)\n[u.y + v.y + v] -> relu",
    "block cell(n) = [c: conv3-4 -> [again(c)]*n]\ncell(2) -> cell(1)",
    "block use(l) = [again(l) -> conv1-4]\nc: conv3-4 -> use(c)",
    "c: conv3-6/2\nd: conv3-8/2\nagain(d, transpose=yes, act=relu, bias=yes, output_pad=1) -> again(c, transpose=yes, output_pad=1)",
    "c: conv3-6(pad=0, dilation=2) -> again(c, transpose=yes, bias=yes)",
    "c: dwconv3(multiplier=2) -> again(c, transpose=yes)",
    "c: linear-6 -> again(c, transpose=yes) -> d: conv1-6 -> again(d, transpose=yes)",
    "c: fc-6 -> again(c, transpose=yes, bias=yes, act=sigmoid)",
    "c: conv3-4 -> again(c, stride=2) -> again(c, pad=0)",
    "input 4xHxW\nc: conv3-6/2 -> again(c, transpose=yes) -> again(c, dilation=2)",
    "input 4x9\nc: lstm-4 -> again(c)",
    "input 4x9\na: attend(q=[linear-4], k=[linear-4], v=[linear-4]) -> again(a)",
    "pool -> s: bn -> relu -> again(s) -> p: prelu -> again(p)",
)
TENSORS = (
    "[dwconv7(act=none) & layer_scale: tensor(C, 1, 1, init=1e-6)] -> [id + pos: tensor(4, 8, 8, init=normal(0.02))]",
    "input 4x9\n[token: tensor(C, 1) | id](axis=W) -> [id + positions: tensor(C, W, init=uniform(0, 1))]",
    "[id & std: tensor(4, 1, 1, learn=no, value=(4.367, 4.464, 4.444, 1))] -> conv3-4",
    'start: tensor(6, 4, 4, init=normal(1))\nstart -> conv3-4 -> c: upsample(2)\n["input" + c]',
    "c: [id & gain: tensor(4, 1, 1, value=0.5)]\n[f: tensor(1, 1, 1, learn=no, value=2) & c]",
    "input x: 4x8x8\ninput style: 4\nx -> [id & style -> s: reshape(4, 1, 1)] -> c: conv3-6(bias=no, act=none)\n"
    "power: [weight(c) -> pow(2) -> sum(axis=(H, W)) -> reshape(6x4) @ s -> pow(2) -> reshape(4x1)]\n"
    "[c & power -> plus(1e-8) -> pow(-0.5) -> reshape(6, 1, 1)]",
    "c: conv3-4 -> l: linear-4\n[l & weight(c) -> reshape(4, _) -> mean(axis=W) -> reshape(4, 1, 1) & weight(l) -> sum(axis=W) -> reshape(4, 1, 1)]",
)
EXTERNS = (
    'input left: 4x8x8\ninput right: 4x8x8\nextern corr(k=4) = "forms_extern:Corr" (ins=2, shape=(k, H, W), params=0)\n'
    "left -> conv3-4 -> l: id\nright -> conv3-4 -> r: id\nl -> corr(r) -> conv3-2",
    'extern mix = "forms_extern:Three" (ins=3, shape=same)\na: conv3-4\nmix(a, [conv1-4])',
)
RESHAPES = (
    "reshape(C//2, 2, _) -> permute(H, W, C) -> reshape(4x8x8)",
    "input 4xHxW\nreshape(C, _) -> permute(W, C) -> permute(W, C) -> reshape(C//2, 2, _)",
    "reshape(64, _) -> permute(W, C) -> linear-4",
    "input 4x6x8x8\npermute(D, C, H, W) -> reshape(6, _)",
    "input 4x8x8\nfc-8 -> reshape(2, 2, 2) -> upsample(2)",
    'x: reshape(C, _) -> linear-4 -> reshape(to="input")',
)
SLICES = (
    "slice(0..1) -> conv3-4 -> slice(1..) -> slice(..-2) -> slice(-1..)",
    "slice(1.., axis=W) -> slice(..-2, axis=H) -> slice(2..4, axis=W)",
    "slice(2) -> conv3-8 -> [chunk(2, 0) & chunk(2, 1)]",
    "input 4xHxW\nslice(1.., axis=W) -> slice(..-2, axis=W) -> slice(0..1, axis=H)",
    'x: [id | "input"](axis=W) -> x2: slice(to="input", axis=W)\n[x2 + x -> slice(to="input", axis=W, last=yes)]',
    "[conv3-4 | pool -> upsample(2) | conv1-4](axis=H) -> conv1-4",
    "input 4xHxW\n[conv3-4 | slice(0..0, axis=H)](axis=H)",
    "mean(axis=C) -> [max(axis=H) + sum(axis=H)] -> softmax(axis=W)",
    "max(axis=W) -> mean(axis=(C, H)) -> stretch(4) -> conv1-4 -> ln(axis=all) -> ln(over=all)",
)
FITTED = (
    "[conv3-6(pad=0) | crop] -> conv3-4",
    "[id | conv3-4(pad=0) -> pad] -> [id + conv3-8/2 -> pad(mode=replicate)]",
    "[conv3-4 + gap -> conv1-4(act=none) -> stretch] -> relu",
    "[conv3-4 + conv3-4/3 -> resize] -> relu -> [id & conv3-4/2 -> resize(mode=bilinear)] -> [id | conv1-2/2 -> resize(mode=bicubic)]",
    "c: conv3-4/2\nd: upsample(2)\n[c -> crop(to=c) -> pad(to=d) | d -> resize(to=c) -> resize(to=d, mode=area)]",
    'c: gap\n"input" -> d: conv3-4\n[c -> stretch(to=d) + d]',
    "input 4xHxW\n[conv3-4/2 -> resize + id] -> relu -> [id | conv3-4(pad=0) -> pad] -> [id + gap -> stretch]",
    "input 4x9\n[conv3-6(pad=0) | crop] -> [id | conv3-4/2 -> resize(mode=linear)]",
    "crop(6) -> pad(1) -> gap -> stretch(8) -> resize(size=14x12)",
)
RESIZES = (
    "resize(1.5) -> resize(0.5)",
    "resize(size=14) -> resize(1.5, mode=bilinear) -> resize(0.5, mode=bicubic) -> resize(2, mode=area) -> resize(3/2, mode=nearest)",
    "input 4xHxW\nresize(1.5, mode=bilinear) -> resize(0.5, antialias=yes, mode=bilinear)",
    "input 4x9\nresize(1.5, mode=linear) -> resize(7/10)",
    "input 4x4x6x6\nresize(1.5, mode=trilinear) -> resize(0.5)",
    "upsample(2) -> upsample(2x1, mode=bilinear)",
)
ARITHMETIC = (
    "times(0.5) -> plus(1) -> times((1, 2, 3, 4)) -> plus((0, 1, 0, -1))",
    "abs -> plus(0.1) -> log -> exp -> pow(2) -> plus(1) -> pow(-0.5) -> sin -> cos -> clamp(-0.5, 0.5) -> clamp(none, 0.4) -> clamp(0)",
    "normalize(mean=(0.4, 0.4, 0.5, 0), std=(0.2, 0.2, 0.2, 1)) -> conv3-4",
    "a: conv3-4\n[a + conv1-4 -> times(-1)] -> b: sigmoid\n[a & b -> pow(-1)]",
    "mu: conv1-4(act=none)\nlogvar: conv1-4(act=none)\n[mu + [logvar -> times(0.5) -> exp & noise]]",
    "[id + conv3-4(act=none) -> scale(each=one, start=0)] -> scale(each=channel) -> scale(each=position) -> scale(each=one, bias=yes)",
    "bias(each=one) -> bias(each=channel) -> bias -> bias(each=position)",
    "fc-4 -> times((1, 2, 3, 4)) -> scale(each=channel) -> exp",
    "input 4xHxW\nabs -> times(2) -> plus((0, 1, 0, -1)) -> scale(each=one) -> clamp(0, 1) -> bias(each=channel)",
)
PRODUCTS = (
    "input 4x9\n[id @ mix: tensor(9, 5, init=normal(1))] -> linear-4",
    "input 4x9\nk: [linear-6 -> softmax]\n[m: tensor(6, 6) @ k] -> linear-4",
    "x: reshape(C, _)\n[x @ x -> permute(W, C)] -> a: softmax(axis=W)\n[a @ x]",
    "linear-{4*C}(act=gelu) -> linear-C -> fc-4 -> linear-3",
    "input 4xHxW\nlinear-8(bias=no, norm=ln) -> linear-4",
    "input 4x4x4x4\nlinear-8",
    "default linear(act=silu)\nlinear-8 -> linear-4(act=none)",
)
ATTENTION = (
    "[id + norm: gn(2) -> attend(q=[q: conv1-C], k=[k: conv1-C], v=[v: conv1-C]) -> proj_out: conv1-C]",
    "attend -> conv3-8 -> attend(k=[conv1-C], heads=2) -> attend(v=[linear-6])",
    't: tensor(4, 5, init=normal(1))\n"input" -> attend(q=t, k=[linear-4], v=[linear-8], heads=2)',
    "input 4x9\nattend(q=[linear-8], k=[linear-8], v=[linear-8], heads=4, causal=yes) -> attend(scale=1)",
    'input 4x9\nb: tensor(2, 9, 9)\n"input" -> attend(q=[linear-4], heads=2, bias=b)',
    "input 4xHxW\n[id + attend(q=[linear-4], k=[linear-4], v=[linear-4])] -> conv3-4",
    "input 4x2x3x4\nattend(q=[linear-4])",
    'a: conv3-6/2\n"input" -> attend(q=[linear-8], k=[a -> linear-8], v=[a -> linear-4])',
)
STD = (
    "use self_attention, cross_attention, nonlocal from std\nc: conv3-8 -> self_attention(2) -> nonlocal -> cross_attention(c, 2)",
    "use cbam, eca, coordinate_attention from std\nconv3-32 -> cbam -> eca -> coordinate_attention",
    "use transformer_layer, glu from std\nconv3-8 -> glu(8) -> reshape(C, _) -> transformer_layer(2)",
    "use c2f, sppf, aspp, fpn_level from std\nc: conv3-8 -> c2f(8, 1) -> sppf(8) -> aspp(8) -> pool -> t: conv1-8(act=none)\nc -> fpn_level(8, t)",
    "use convnext, ghost from std\nconv3-8 -> convnext -> ghost(8)",
)
WEIGHTS = (
    "conv3-4(reparam=weight_norm) -> conv3-4(reparam=spectral_norm) -> tconv2-4/2(reparam=weight_norm) -> fc-4(reparam=spectral_norm) -> linear-4(reparam=weight_norm)",
    "default conv(reparam=weight_norm)\n[conv3-6/2 -> dwconv3 + shortcut] -> relu -> conv1-4(reparam=none) -> sepconv3-4",
    "conv7-4(mask=a) -> conv3-4(mask=b) -> conv3x1-4(mask=b)",
    "conv3-4(standardise=yes) -> conv3-4(standardise=standardise(eps=1e-6, gain=yes)) -> conv1-4",
)
SEQUENCES = (
    "input 4x9\nlstm-6(bidirectional=yes) -> lstm-6(layers=2) -> gru-4 -> gru-4(bidirectional=yes, layers=2) -> linear-3",
    "input 4xW\nlstm-6 -> gru-4(bidirectional=yes)",
    "input 4x1x9\nsqueeze -> lstm-4",
)
BORDERS = (
    "input 4x9\nconv3-4(pad=causal) -> conv3-4(pad=causal, dilation=4) -> conv2-4/2(pad=causal)",
    "input 4xW\nconv2-4(pad=causal, dilation=2)",
    "conv3-4(pad_mode=reflect) -> conv3-4(pad=2, pad_mode=replicate) -> conv3-4(pad_mode=circular) -> dwconv3(pad_mode=reflect)",
    "input 4xHxW\nconv3-4(pad_mode=reflect) -> conv5-4(pad_mode=circular)",
    "maxpool2/1(dilation=2) -> maxpool3/2(pad=2) -> maxpool3/1(pad=(2, 1))",
    "tconv3-4/2(pad=same_tf) -> tconv4-4/2(pad=same_tf)",
)
NORMS = (
    "conv3-4(norm=grn) -> conv3-4(norm=rmsnorm) -> l2norm -> l2norm(axis=H) -> conv3-4(norm=evonorm(groups=2))",
    "blurpool3/2 -> blurpool2/1 -> blurpool5/2",
    "evonorm(groups=2) -> rmsnorm(eps=1e-6) -> ln(bias=no) -> gn(2, bias=no)",
    "fc-8 -> ln(bias=no) -> rmsnorm -> l2norm -> gn(2) -> softmax",
    "input 4x9\ngrn -> rmsnorm -> l2norm(axis=W) -> evonorm(groups=2) -> blurpool3/2",
    "input 4xHxW\ngrn -> rmsnorm -> l2norm -> blurpool3/2 -> evonorm(groups=2)",
)
RANKS = (
    "input 4x9\nlrn3 -> shuffle(2) -> chunk(2, 1) -> maxpool3/2 -> avgpool2 -> bn -> gn(1) -> instancenorm -> ln",
    "input 4x4x6x6\nlrn3 -> shuffle(2) -> chunk(2, 0) -> maxpool2 -> bn -> gn(1) -> instancenorm -> grn",
    "input 8\nchunk(2, 1) -> ln -> gn(2) -> scale -> rmsnorm",
)
GATES = (
    "block seunit(w) = [conv3-w(norm=bn) -> [id & gap -> conv1-2 -> conv1-w(act=sigmoid)] + shortcut] -> relu\nseunit(4) -> seunit(6)",
    "[conv3-4 -> [id & gap -> conv1-C(act=sigmoid)]] -> conv3-4",
    "conv3-4 -> [[id & gap -> conv1-C(act=sigmoid)] + [id & conv1-1(act=sigmoid)]] -> conv3-4",
    "conv3-4 -> times(0.5) -> plus(1) -> scale -> slice(0..2) -> permute(C, W, H) -> resize(2) -> pad(1) -> relu",
    "conv3-4 -> droppath(0.1) -> [conv3-4 & conv1-4 -> sigmoid] -> dropout(0.1) -> silu",
    "[conv3-8 -> conv3-4(act=leaky(0.1)) + id] -> [conv3-4(act=none) + id] -> relu",
    "default tconv(norm=bn, act=relu)\ntconv2-4/2 -> tconv2-3/2(act=none) -> sigmoid",
    "conv3-4 -> tconv2-4/2 -> conv3-2",
)
ALLOWED = (
    "[id | conv3-4(pad=(2, 0))] -> conv1-4  # allow W203: shifted on purpose",
    "# allow W203: the map moves by half a pixel\n[\n  id\n| conv3-4(pad=(2, 0))\n] -> conv1-4",
    "conv3-8(act=none) -> conv3-8 -> [conv3-8 + id] -> conv3-4  # allow W202: as published",
)
NETWORKS = (
    # ConvNeXt, its stem and units, with torchvision's keys
    "input 3x32x32\ndefault conv(act=none)\ndefault ln(eps=1e-6)\nparam ns = (1, 2)\n"
    'block path = ["0": dwconv7 -> "2": ln -> "3": linear-{4*C}(act=gelu) -> "5": linear-C]\n'
    "block unit(p) = [[block: path & layer_scale: tensor(C, 1, 1, init=1e-6)] -> droppath(p) + id]\n"
    "features: [\n  _: [conv4-8/4(pad=0, bias=yes) -> ln]\n"
    "  [ [_: [ln -> conv2-{2*C}/2(pad=0)] if k > 0]\n    _: [unit(0.1*(sum(ns[0..k-1]) + i)/17) for i in 0..ns[k]-1]\n  for k in 0..1 ]\n]\n"
    "gap -> classifier: [ln -> flatten -> fc-10]",
    # EfficientNet's unit
    "default conv(norm=bn, act=silu)\nblock cna(k, w, act=silu) = conv{k}-w(act=act)\nblock dw(k, s) = dwconv{k}/s\n"
    "block gate(r) = [id & gap -> conv1-r(norm=none) -> conv1-C(norm=none, act=sigmoid)]\n"
    "block path(t, k, c, s, r) = [[cna(1, divisible(t*C, 8)) if t > 1] -> dw(k, s) -> gate(r) -> cna(1, c, act=none)]\n"
    "block mbconv(t, k, c, s) = [block: path(t, k, c, s, max(1, C//4)) + shortcut(kind=same)]\n"
    "mbconv(1, 3, 8, 1) -> mbconv(6, 5, 8, 1) -> mbconv(6, 3, 8, 2)",
    # DDPM's units
    "input x: 8x8x8\ninput temb: 16\ndefault conv(act=none)\n"
    "block res(w, t) = [\n  [gn(4) -> silu -> conv3-w + t -> linear-w -> reshape(w, 1, 1) -> stretch]\n"
    "  -> gn(4) -> silu -> dropout(0.1) -> conv3-w + shortcut(norm=none) ]\n"
    "block attn = [id + norm: gn(4) -> attend(q=[q: conv1-C],\n  k=[k: conv1-C], v=[v: conv1-C]) -> proj_out: conv1-C]\n"
    "x -> res(16, temb) -> attn -> res(16, temb)",
    # all heads of SSD over all anchors
    "block ssd(k, *maps) = [| [f -> conv3-{a*k}(act=none) -> reshape(a, k, _) -> permute(H, W, C) -> reshape(k, _)] for f, a in maps](axis=W)\n"
    "a: conv3-8\nb: conv3-8/2\nssd(5, (a, 4), (b, 6))",
)  # fmt: skip

FORMS = {
    "A lists": LISTS, "A flags": FLAGS, "A numbers": NUMBERS, "A settings": SETTINGS,
    "B choices": CHOICES, "B branches": BRANCHES, "B levels": LEVELS, "B names": NAMES, "B handed": HANDED, "B again": AGAIN,
    "B tensors": TENSORS, "B externs": EXTERNS,
    "C reshapes": RESHAPES, "C slices": SLICES, "C fitted": FITTED, "C resizes": RESIZES,
    "D arithmetic": ARITHMETIC, "E products": PRODUCTS, "E attention": ATTENTION, "E std": STD,
    "F weights": WEIGHTS, "F sequences": SEQUENCES, "F borders": BORDERS, "F norms": NORMS, "F ranks": RANKS,
    "G gates": GATES, "H allowed": ALLOWED, "networks": NETWORKS,
}  # fmt: skip


def text_of(form: str) -> str:
    """A form as a whole file."""
    has_input = any(line.startswith("input ") for line in form.splitlines())
    return f"{form}\n" if has_input else f"{HEAD}{form}\n"
