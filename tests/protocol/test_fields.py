"""What each field accepts: a table of what it reads, and one of what it does not."""

from __future__ import annotations

import json
import re
from math import inf, nan
from typing import get_args

import pytest

from rede_p2p.protocol import fields

ROOT = bytes(range(32))
HEX = ROOT.hex()

# A field, a JSON value and what it is read as.
READ = [
    (fields.Port, 1, 1),
    (fields.Port, 65535, 65535),
    (fields.PublicPort, 1024, 1024),
    (fields.PublicPort, 65535, 65535),
    (fields.Size, 0, 0),
    (fields.Size, 2**50, 2**50),
    (fields.Count, 500_000, 500_000),
    (fields.PieceIndex, 65536, 65536),
    (fields.Version, 1, 1),
    (fields.Version, 2**31, 2**31),
    (fields.BodySize, 64 * 1024 * 1024, 64 * 1024 * 1024),
    (fields.AnnouncedSize, 5 * 1024 * 1024, 5 * 1024 * 1024),
    (fields.BundleSize, 8 * 1024 * 1024, 8 * 1024 * 1024),
    (fields.MemberSize, 1, 1),
    (fields.MemberSize, 2**50, 2**50),
    (fields.BundleCount, 1, 1),
    (fields.BundleCount, 65536, 65536),
    (fields.Total, 2**63 - 1, 2**63 - 1),
    (fields.Name, "", ""),
    (fields.Name, "a\nb\0", "a\nb\0"),
    (fields.Name, "x" * 1024, "x" * 1024),
    (fields.Name, "é" * 512, "é" * 512),
    (fields.PeerName, "", ""),
    (fields.PeerName, "João da Silva", "João da Silva"),
    (fields.PeerName, "é" * 32, "é" * 32),
    (fields.PeerName, "joa\u0303o\u00a0 ", "joão"),
    # What cannot be a name is none: it spoils no message, and no list.
    *((fields.PeerName, value, "") for value in ("x" * 65, "7", "10.0.0.7", "a:1", "\ud800")),
    *((fields.PeerName, value, "") for value in (None, True, 1, 1.5, ["ana"], {"ana": 1})),
    *(
        (fields.PeerName, f"a{sign}b", "")
        for sign in "\0\t\n\r\x1b\x7f\x9b\u2028\u200f\u202e\u2066"
    ),
    (fields.Nonce, "0" * 32, "0" * 32),
    (fields.Reason, "x" * 64, "x" * 64),
    (fields.Root, HEX, ROOT),
    (fields.Bitmap, "", b""),
    (fields.Bitmap, "f001", b"\xf0\x01"),
    (fields.Bitmap, "ff" * 8192, b"\xff" * 8192),
    (fields.News, [], ()),
    (fields.News, [5, 0, 5], (5, 0, 5)),
    (fields.News, [*range(61440, 65536)], tuple(range(61440, 65536))),
    (fields.Others, [65535] * 8, (65535,) * 8),
    (fields.Ip, "10.0.0.7", "10.0.0.7"),
    (fields.Ip, "127.0.0.1", "127.0.0.1"),
    (fields.Ip, "0:0::0001", "::1"),
    (fields.Ip, "2001:DB8::7", "2001:db8::7"),
    (fields.Ip, "::ffff:10.0.0.7", "10.0.0.7"),
    (fields.Ip, "fe80::1", "fe80::1"),
    (fields.Bool, True, True),
    (fields.Bool, False, False),
]

NO_INTEGERS = (True, False, 1.0, 1e3, "1", nan, inf, -inf, None, [1], {}, int("9" * 4000))
NO_TEXTS = (None, True, 1, ["a"], {}, "\ud800", "a\udfff")
UNREAD = [
    *((fields.Port, value) for value in (*NO_INTEGERS, -1, 0, 65536)),
    *((fields.PublicPort, value) for value in (*NO_INTEGERS, 0, 22, 1023, 65536)),
    *((fields.Size, value) for value in (*NO_INTEGERS, -1, 2**50 + 1)),
    *((fields.Count, value) for value in (*NO_INTEGERS, -1, 500_001)),
    *((fields.Total, value) for value in (*NO_INTEGERS, -1, 2**63)),
    *((fields.PieceIndex, value) for value in (*NO_INTEGERS, -1, 65537)),
    *((fields.Version, value) for value in (*NO_INTEGERS, 0, 2**31 + 1)),
    *((fields.BodySize, value) for value in (*NO_INTEGERS, -1, 67_108_865)),
    *((fields.AnnouncedSize, value) for value in (*NO_INTEGERS, -1, 5_242_881)),
    *((fields.BundleSize, value) for value in (*NO_INTEGERS, -1, 8_388_609)),
    *((fields.MemberSize, value) for value in (*NO_INTEGERS, 0, 2**50 + 1)),
    *((fields.BundleCount, value) for value in (*NO_INTEGERS, 0, 65537)),
    *((fields.Name, value) for value in (*NO_TEXTS, "x" * 1025, "é" * 513)),
    *((fields.Nonce, value) for value in (*NO_TEXTS, "0" * 33)),
    *((fields.Reason, value) for value in (*NO_TEXTS, "x" * 65)),
    *(
        (fields.Root, value)
        for value in (
            *NO_TEXTS,
            "",
            HEX[:-1],
            HEX + "0",
            HEX + "\n",
            HEX[:-1] + "g",
            HEX[:-1] + "\n",
            "A" * 64,
            "٣" * 64,
        )
    ),
    *(
        (fields.Bitmap, value)
        for value in (
            "f",
            "F0",
            "0x",
            "f0f",
            "f0 ",
            "f0\n",
            "f 0",
            "-1",
            "g0",
            "٣٣",
            "f0" * 8193,
            None,
            True,
            240,
            ["f0"],
            {},
        )
    ),
    *(
        (field, value)
        for field in (fields.News, fields.Others)
        for value in (
            [-1],
            [65536],
            [0, 2**70],
            [True],
            [1.0],
            [nan],
            ["1"],
            [None],
            [[1]],
            [*range(61440, 65536), 0],
            "12",
            {"0": 1},
            None,
            0,
            False,
        )
    ),
    (fields.Others, [0] * 9),
    *(
        (fields.Ip, value)
        for value in (
            "",
            "0.0.0.0",
            "::",
            "::ffff:0.0.0.0",
            "224.0.0.1",
            "239.255.255.255",
            "ff02::1",
            "::ffff:224.0.0.1",
            "127.1",
            "010.0.0.7",
            "10.0.0.7\n",
            "10.0.0.7/8",
            "localhost",
            "fe80::1%eth0",
            "fe80::1%\x1b[31m",
            "::1%" + "é" * 99,
            "٣.3.3.3",
            "\ud800",
            7,
            None,
            True,
            2**32,
            ["10.0.0.7"],
        )
    ),
    *((fields.Bool, value) for value in (0, 1, 1.0, "true", None, [True], {})),
]


def read(field, value):
    """Read a value that came as JSON, as JSON gives it."""
    _, check = get_args(field)
    return check(json.loads(json.dumps(value)))


def shown(value):
    return re.sub(" at 0x[0-9a-f]+", "", repr(value))[:60]  # an address differs in each process


@pytest.mark.parametrize(("field", "value", "found"), READ, ids=shown)
def test_a_value_within_its_limits_is_read(field, value, found):
    assert read(field, value) == found
    assert type(read(field, value)) is type(found)


@pytest.mark.parametrize(("field", "value"), UNREAD, ids=shown)
def test_any_other_value_is_a_value_error(field, value):
    with pytest.raises(ValueError):
        read(field, value)


def test_every_field_has_a_row_of_each_kind():
    named = {id(value) for value in vars(fields).values() if get_args(value)}
    assert {id(row[0]) for row in READ} == named
    assert {id(row[0]) for row in UNREAD} == named - {id(fields.PeerName)}  # reads all as none
