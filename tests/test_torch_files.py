"""A .pth is read as arrays: what PyTorch wrote, and what must be refused without running it."""

import base64
import pickle
import re
import zlib
from io import BytesIO

import numpy as np
import pytest

from edgecv.errors import WeightsError
from edgecv.models.weights import pth, tensors
from tests import torch_files
from tests.torch_files import in_a_row, pickled, tensor, text, zipped

# The same five tensors by torch.save of PyTorch 2.14.1, in its two forms; one is a view of another
# with its axes exchanged, one is of half precision, one a parameter.
ZIPPED = (
    "c-o~^&u`mw6#qI&ozxrsF-p4?C}S{4$L7Y)ZwAX2p=gppbU{cKLb9C1jjcIxp8ZV+NR=v$jvps9ao_^t%7yC=TzcRi"
    ";DR{pFo^@=#Cf;9uibjKOH-}=CNJOE^5@6<>b>W6C7mH8mm>$(963XDw`*FP##&FOx;VORx0*BLli1o$b-Rvj8(nHS"
    "Lr?h7?HR7od(Y}p0my0_xV(A_$vkQd#5;!7Hz}mL)InZR8&k{n1kE)%W6SPo)EIh>t8K~xr1N<->%$yZ?;DT_AVSM_"
    "box<nQ-CRz!)FS>t7+W3qcLQa(-d;I6p~j`3Wt%VFr8O;{G=6*g7A&WOr4@|x(&~%0>Y@P551A&89kUWQP<3vQzmcv"
    "OtZHThM#*dhitgb2lz7-o^Qi~iYG@*-QIu~0_2{{n|LcUx#*jeU<oNx6wabKCA9<R6mAEW1G*O}ywrx5{fyC$HAF8f"
    "haA#KclCim4Of6y_U-x#GMq;R%<)yGz$x54xDafw1uCyoxY&j_zV<KP{0j1ISXCDh*%^w%@j&b7v}+okh7P*7(ZQuy"
    "PVYOzewfo+zG4wB2Z~ovadkCN5h<*-p)lS8Nu9=rG&HNT@&S1ZiYhBCC~ZO6Pj=IAJuDljD4gec9dTXB=Dz*?hsFmf"
    "LRhRHTAWKn42x6TaNL1TwLP|0^HQQlCoPF-KKSq9U6v7x!!?&l^{M7wWoo)@^@jsvNL$U~GsuRkQep-gci>;lm!u{d"
    "m?w?UK<9I6IIP)P&8x@J-CwpvsckS1JMaE|jz<-KqK6rBEjAU_3a#ebComAOZa47fI({*>F@DC_#dw54Zs07!IFC`d"
    "!JK}!wQ;S$I{yf#3vs7Xt2uYTDXEcN#`)zh>UXT2Ge>Y<k8{ec<~t`je$0Qj!StPre|>rk{o+aWvwO_U!|2a{944BZ"
    "=wX&z4LyV{S3RzYqQI2@_^JQ#(e=MV<fjejr|%iAg&p{X&fY$n)oV4yXEY)es?}OWuFCaly<RJqq>5aY%9T>7UM^SU"
    "dQp-p<(gD2GMA6<|7zvYN8WeIF|(o1=-8S&;5_*rO`@X%XeoyLF+~m=bV-uv5Lu27jx?Dtxsp85K`<ZVxgX&P2T&3o"
    "?arAPd@(~3vm=R(c3~X5o5V^<Y_x;o*oCPCR!(B0l^@4`pTriE*l6v}#;|93lI)ZuI9gIG@w1MA|G(JR6`sGm-x}#F"
    "AyP=}cT>S$%kH;2@BjO4I=BwrdQ*IW5&Y+aXP*G<i9x>"
)
IN_A_ROW = (
    "c-nQ7S#Q%o5XaX?66&TUT!nIm+u;bgoTg8u5~?bhtKr2j$a0(|HaK?1J1zn#QeIjLpMeJ+`55^qyz&u{cwiETawy&P"
    ">}tom^ZU<uJ(53Z!OzcIKZ>uvK3^@5<R{-18i&AitH2l=#1Ter6xh2w7Jd|hL>sIndK37F0k?VB^_>vp14|<(z8i2`"
    "`0u#@WeBQnWymSKC`QPbvZc_<4-vAaYN?YLQP_i=sU`_AUBU$1MWP7pS={9@?>_Qf)PR-RAnDfPBo^|1`7QT*9)j#*"
    "6uVy8PS6j8X2-mf_(9i39*QWocWW9bx^CsB$D-KjaZuAE+Ex%b_#$;`kg=9&&w8WYXc*Ocv%c19wIDlH>kbkUn170J"
    "Y{z7}DVq|Rg0P^QS?Y=@A!r}HiNr;Od>fY1Lc~re29e-hSoTPTr+RZK$GtRqVTVFd--i=Kpy^~9^Ay7AHk_GO%X5NP"
    "u#!fb<*`k!!!*wR2WZrd8k{45On_CAZ_0ac-jw#>LK^%c!lgD`o>qti`yr{lazs%FPVDqK@>ql75ec=LMiZ_QPa@v6"
    "2~RSmeYl=ZH&W(Jgj;R6eK1|<AArU?)(XYxgyk^l+Z_j8j|-dhxNk_$-GB0ZOc&-b-+O=f_4Ss~s2J56+@JBw#4nXn"
    "<^zOE8>-0=YSscBu_+O!>!1VmAv7%VFffMDoEGBuMPD-|Aw-8R=F7>?Fb5^gtG7JwD=YIVrSh`G(w3Xe@@!@;HqNuZ"
    "+h~J^hxCw*$i9$`$-a@XO~wjjMY77Kba-aG@e4q-`x*"
)
ARRAY = np.arange(6, dtype="f4").reshape(2, 3)


def real(encoded):
    return BytesIO(zlib.decompress(base64.b85decode(encoded)))


@pytest.mark.parametrize("encoded", [ZIPPED, IN_A_ROW], ids=["zip", "older"])
def test_what_pytorch_wrote(encoded):
    arrays = pth.read(real(encoded))
    stem = np.arange(12, dtype="f4").reshape(2, 1, 2, 3)
    expected = {
        "stem.weight": stem,
        "transposed": stem.reshape(4, 3)[1:].T,
        "half": np.array([0.5, -2], "f2"),
        "trained": np.array([[1.5]], "f4"),
        "bn.num_batches_tracked": np.array(7),
    }
    assert list(arrays) == list(expected)
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype and np.array_equal(arrays[name], array)


@pytest.mark.parametrize("older", [False, True])
def test_what_the_tests_write_is_read_alike(older, tmp_path):
    torch_files.write(tmp_path / "net.pth", {"a": ARRAY, "b": ARRAY[:1]}, older)
    arrays = pth.read(tmp_path / "net.pth")
    assert np.array_equal(arrays["a"], ARRAY) and np.array_equal(arrays["b"], ARRAY[:1])


def refused(data, words):
    """The reason for which a file's bytes are refused, in one line."""
    with pytest.raises(ValueError, match=words) as caught:
        pth.read(BytesIO(data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoded", [ZIPPED, IN_A_ROW], ids=["zip", "older"])
def test_cut_anywhere(encoded):
    whole = real(encoded).getvalue()
    for end in range(0, len(whole), 13):
        refused(whole[:end], ".")


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("form", ["zip", "older"])
def test_a_foreign_global_is_refused_by_name_and_not_run(protocol, form, tmp_path):
    trap = pickle.dumps({"weight": Trap(tmp_path / "ran")}, protocol)
    refused(zipped(trap) if form == "zip" else in_a_row(trap, {}), r"asks for (io|_io)\.open")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (b"cos\nsystem\n", r"asks for os\.system, which no tensor needs"),
        (b"c__builtin__\neval\n", r"asks for __builtin__\.eval"),
        (b"ctorch\nFloatStorage\n)R", r"calls torch\.FloatStorage, which no tensor needs"),
        (text("os") + text("system") + b"\x93", r"asks for os\.system"),
        (b"(ios\nsystem\n", "asks for INST"),
        (b"ccollections\nOrderedDict\n)\x81", "asks for NEWOBJ"),
        (b"\x82\x01", "asks for EXT1"),
    ],
)
def test_what_else_a_pickle_can_ask_for(asked, words):
    refused(zipped(b"\x80\x02}" + text("weight") + asked + b"s."), words)


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 1},
        {"shape": (2, 4)},
        {"strides": (4, 1)},
        {"shape": (1 << 20, 1 << 20), "strides": (0, 0)},
        {"offset": -1},
        {"shape": (2,)},
        {"count": 7},
        {"count": 1 << 30},
    ],
    ids=str,
)
def test_tensors_beyond_their_storage(changes):
    data = pickled({"weight": tensor("0", ARRAY, **changes)})
    refused(zipped(data, {"0": ARRAY.tobytes()}), "beyond|ends within|describes a tensor")


def test_what_is_no_dictionary_of_tensors():
    refused(zipped(pickle.dumps([1, 2], 2)), "no dictionary of tensors")
    refused(zipped(pickle.dumps({"weight": 1}, 2)), "no dictionary of tensors")
    refused(zipped(pickle.dumps({(1, 2): 1}, 2)), "neither names nor numbers")
    refused(zipped(pickled({"weight": tensor("0", ARRAY)})), "lacks the storage 0")
    refused(zipped(b"", byteorder="big"), "other order of bytes")
    refused(pickle.dumps({"weight": 1}, 2), "does not begin as a .pth does")
    refused(b"<html>", ".")


def test_a_pickle_that_doubles_itself_takes_no_time():
    doubled = b"\x80\x02)" + b"q\x00h\x00h\x00\x86" * 60 + b"."
    refused(zipped(doubled), "no dictionary of tensors")
    refused(zipped(b"\x80\x02}" + doubled[2:-1] + b"Ns."), "neither names nor numbers")


def test_a_file_that_cannot_be_read_says_so_in_one_line(tmp_path):
    (tmp_path / "net.pth").write_bytes(zipped(pickle.dumps({"weight": Trap(tmp_path)}, 2)))
    with pytest.raises(WeightsError, match=r"net\.pth: asks for _?io\.open.*; remove it") as caught:
        tensors.read(tmp_path / "net.pth")
    assert not re.search("\n", str(caught.value))
    (tmp_path / "net.safetensors").write_bytes(b"\xff" * 100)
    pytest.importorskip("safetensors")
    with pytest.raises(WeightsError, match=r"is no whole \.safetensors"):
        tensors.read(tmp_path / "net.safetensors")
