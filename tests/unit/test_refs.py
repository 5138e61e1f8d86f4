"""Refs of lanes and keys: equal to plain tuples, and the one place that knows how a tenant is stored."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagabus.errors import InvalidMessageId, MessageInvalid
from sagabus.identity import check_id
from sagabus.message.correlation import as_key
from sagabus.refs import RESERVED, KeyRef, LaneRef
from sagabus.stores.sql.planning import CLAIM

texts = st.text(min_size=1).filter(lambda text: not text.startswith(RESERVED))
keys = texts | st.text(RESERVED + CLAIM + "a.", min_size=1).filter(lambda text: not text.startswith(RESERVED))
tenants = st.just("") | st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=63)


def test_a_ref_is_found_by_its_plain_tuple() -> None:
    lanes, names = {LaneRef("orders", 3): "a lane"}, {KeyRef("orders", "A1"): "a key"}

    assert lanes.get(("orders", 3)) == "a lane"  # type: ignore[call-overload]
    assert names.get(("orders", "A1")) == "a key"  # type: ignore[call-overload]


@given(key=keys)
def test_without_a_tenant_a_key_is_stored_as_it_is(key: str) -> None:
    ref = KeyRef.of("orders", key)

    assert ref == ("orders", key)
    assert ref.stored.encode(errors="surrogatepass") == key.encode(errors="surrogatepass")


@given(key=keys, tenant=tenants)
def test_what_was_written_is_read_again(key: str, tenant: str) -> None:
    ref = KeyRef.of("orders", key, tenant)

    assert (ref.tenant, ref.key) == (tenant, key)
    assert KeyRef("orders", ref.stored) == ref


@given(one=st.tuples(tenants, keys), other=st.tuples(tenants, keys))
def test_no_two_pairs_of_tenant_and_key_are_stored_alike(one: tuple[str, str], other: tuple[str, str]) -> None:
    (tenant, key), (other_tenant, other_key) = one, other

    alike = KeyRef.of("orders", key, tenant) == KeyRef.of("orders", other_key, other_tenant)

    assert alike == (one == other)


@given(key=keys, tenant=tenants)
def test_a_message_id_is_never_taken_for_a_claimed_key(key: str, tenant: str) -> None:
    try:
        message_id = check_id(key[:200])
    except InvalidMessageId:
        return

    assert not KeyRef.of("orders", message_id, tenant).stored.startswith(CLAIM)


@pytest.mark.parametrize("tenant", ["a b", "a/b", f"a{RESERVED}", "é", "x" * 64, "a\n"])
def test_a_tenant_that_could_be_misread_is_refused(tenant: str) -> None:
    with pytest.raises(ValueError, match="a tenant is"):
        KeyRef.of("orders", "A1", tenant)


def test_a_key_that_begins_as_a_tenant_does_is_refused_everywhere() -> None:
    with pytest.raises(ValueError, match=r"U\+001E"):
        KeyRef.of("orders", f"{RESERVED}acme{RESERVED}A1")
    with pytest.raises(MessageInvalid, match=r"U\+001E"):
        as_key("orders.placed", "order_id", f"{RESERVED}acme{RESERVED}A1")
    with pytest.raises(InvalidMessageId):
        check_id(f"{RESERVED}acme{RESERVED}A1")


@pytest.mark.parametrize("stored", [RESERVED, f"{RESERVED}a", f"{RESERVED}{RESERVED}a", f"{RESERVED}a b{RESERVED}c"])
def test_a_stored_key_of_an_older_release_belongs_to_no_tenant(stored: str) -> None:
    ref = KeyRef("orders", stored)

    assert (ref.tenant, ref.key) == ("", stored)
