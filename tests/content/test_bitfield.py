"""A set of pieces against Python's own sets."""

from hypothesis import given
from hypothesis import strategies as st

from rede_p2p.content.bitfield import bits_of, from_bitmap, pieces_from, run_in, whole_units

PIECES = st.sets(st.integers(0, 200))


def pieces(bits):
    return list(pieces_from(bits, 0))


@given(bitmap=st.binary(max_size=12), count=st.integers(0, 90))
def test_a_bitfield_is_what_its_bitmap_says(bitmap, count):
    right = [i for i in range(min(count, 8 * len(bitmap))) if bitmap[i // 8] << i % 8 & 128]
    assert pieces(from_bitmap(bitmap, count)) == right


@given(some=PIECES)
def test_a_set_holds_the_pieces_of_which_it_was_made(some):
    assert pieces(bits_of(some)) == sorted(some)
    assert bits_of(some).bit_count() == len(some)


@given(some=st.sets(st.integers(0, 65_535), min_size=60, max_size=70))
def test_many_pieces_are_a_set_like_few(some):
    some = (*some, *some)  # who tells of a piece twice means it once
    assert pieces(bits_of(some)) == sorted(set(some))


@given(start=st.integers(0, 99), stop=st.integers(0, 99), step=st.integers(1, 3))
def test_a_range_is_a_set_like_any_other(start, stop, step):
    assert pieces(bits_of(range(start, stop, step))) == list(range(start, stop, step))


@given(some=PIECES, start=st.integers(0, 210))
def test_the_pieces_come_in_order_from_any_place_round_the_end(some, start):
    right = sorted(some, key=lambda piece: (piece < start, piece))
    assert list(pieces_from(bits_of(some), start)) == right


@given(some=PIECES, first=st.integers(0, 210), most=st.integers(1, 9))
def test_a_run_ends_before_the_first_piece_that_is_missing(some, first, most):
    end = first
    while end in some and end - first < most:
        end += 1
    assert run_in(bits_of(some), first, most) == range(first, end)


@given(some=PIECES, count=st.integers(1, 201), power=st.integers(0, 5))
def test_a_unit_is_whole_if_each_of_its_pieces_is_there(some, count, power):
    some, unit = {piece for piece in some if piece < count}, 2**power
    whole = [
        piece
        for start in range(0, count, unit)
        if {*range(start, min(start + unit, count))} <= some
        for piece in range(start, min(start + unit, count))
    ]
    assert pieces(whole_units(bits_of(some), count, unit)) == whole
