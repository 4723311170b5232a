"""Where torch keeps its caches and what it calls the files, without torch."""

import getpass
import os

from overwinter.kinds.torchinductor import cache_directory, content_name


def test_a_file_is_named_by_its_content_as_torch_names_it():
    """Literals from ``torch._inductor.codecache.sha256_hash``, base 32 cut at 51."""
    assert content_name(b"") == "4oymiquy7qobjgx36tejs35zeqt24qpemsnzgtfeswmrw6csxbk"
    assert content_name(b"hi") == (
        "r5bugrter5vznx4j3wuqdrixnmiknwbzmhotygwirnm3fxbspks"
    )


def test_the_directory_is_the_one_that_torch_was_told(monkeypatch, tmp_path):
    """A relative one counts from where the process is, as torch counts."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/somewhere/else")
    assert cache_directory() == "/somewhere/else"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "here")
    assert cache_directory() == str(tmp_path / "here")


def test_the_directory_is_otherwise_the_users_own(monkeypatch, tmp_path):
    """In the directory for temporary files, by a name that is safe as a path."""
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(getpass, "getuser", lambda: 'a/b\\c:d*e?f"g<h>i|j')
    assert cache_directory() == str(tmp_path / "torchinductor_a_b_c_d_e_f_g_h_i_j")


def test_a_user_without_a_name_has_a_directory_too(monkeypatch, tmp_path):
    """In containers a user is often a number that no file knows."""

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert cache_directory() == str(tmp_path / f"torchinductor_uid_{os.getuid()}")
