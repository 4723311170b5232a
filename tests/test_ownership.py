"""Ownership: who else could write what is ours."""

import grp
import os
import pwd
from types import SimpleNamespace

import pytest

from overwinter import ownership
from overwinter.ownership import is_open_to_others

ME = 4321


@pytest.fixture
def system(monkeypatch):
    """Return what decides who this process is, and who else there is."""

    def decide(*others, user=ME, group=ME, name="worker", members=()):
        ownership._is_private.cache_clear()
        account = SimpleNamespace(pw_uid=user, pw_gid=group, pw_name="worker")
        found = SimpleNamespace(gr_name=name, gr_mem=list(members))
        monkeypatch.setattr(os, "geteuid", lambda: user)
        monkeypatch.setattr(pwd, "getpwuid", lambda number: account)
        monkeypatch.setattr(pwd, "getpwall", lambda: [account, *others])
        monkeypatch.setattr(grp, "getgrgid", lambda number: found)

    yield decide
    ownership._is_private.cache_clear()


def test_a_group_of_ones_own_is_nobody_else(system):
    """As Debian makes for each user, whose umask is then 002."""
    system()
    assert not is_open_to_others(0o775, ME)
    assert not is_open_to_others(0o755, ME)
    assert is_open_to_others(0o777, ME)


@pytest.mark.parametrize(
    "decided",
    [
        {"members": ["worker", "mallory"]},
        {"name": "app"},
        {"group": ME + 1},
    ],
    ids=str,
)
def test_a_group_of_several_is_others(system, decided):
    """Those who are listed in it, and one that is not called as its user."""
    system(**decided)
    assert is_open_to_others(0o775, ME)


def test_who_has_it_as_their_first_group_is_not_listed_in_it(system):
    """As after ``useradd -g worker mallory``."""
    system(SimpleNamespace(pw_uid=7, pw_gid=ME, pw_name="mallory"))
    assert is_open_to_others(0o775, ME)


def test_group_0_is_never_ones_own(system):
    """In containers a process of any number may be in it."""
    system(user=0, group=0)
    assert is_open_to_others(0o775, 0)
    assert not is_open_to_others(0o755, 0)


def test_an_account_that_the_system_does_not_know_has_no_group_of_its_own(
    system, monkeypatch
):
    """As a container's user without an entry."""
    system()

    def nobody(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert is_open_to_others(0o775, ME)


def test_nobody_is_asked_where_no_group_may_write(system, monkeypatch):
    """A directory service would be asked for each folder of a cache."""
    system()

    def asked(number):
        raise AssertionError("the system was asked")

    monkeypatch.setattr(grp, "getgrgid", asked)
    assert not is_open_to_others(0o755, ME)
