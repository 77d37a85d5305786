"""How members prove the token to each other."""

from __future__ import annotations

from logwarden.daemon.web.member_proof import VALID_S, is_proof, proof

ADDRESS, PATH, NOW_S = "http://10.0.0.7:8080", "/api/v1/services?scope=member", 1_795_428_000


def test_a_proof_is_good_for_one_address_one_path_and_a_minute() -> None:
    """Whoever receives one can use it nowhere else."""
    given = proof("token", ADDRESS, PATH, NOW_S)
    assert "token" not in given
    for now_s in (NOW_S - VALID_S, NOW_S, NOW_S + VALID_S):
        assert is_proof(given, "token", ADDRESS, PATH, now_s)
    assert not is_proof(given, "token", ADDRESS, PATH, NOW_S - VALID_S - 1)
    assert not is_proof(given, "token", ADDRESS, PATH, NOW_S + VALID_S + 1)
    assert not is_proof(given, "another", ADDRESS, PATH, NOW_S)
    assert not is_proof(given, "token", "http://10.0.0.8:8080", PATH, NOW_S)
    assert not is_proof(given, "token", ADDRESS, PATH + "&history=true", NOW_S)
    assert not is_proof(given.replace(str(NOW_S), str(NOW_S + 1)), "token", ADDRESS, PATH, NOW_S)


def test_other_texts_are_no_proof() -> None:
    """Whatever a header contains, the answer is no."""
    code = proof("token", ADDRESS, PATH, NOW_S).partition(".")[2]
    texts = ["", "Member", "Member 1", f"Bearer {NOW_S}.{code}", f"Member .{code}", f"Member {NOW_S}.", "Member ٣.x"]
    texts += [f"Member {'9' * 5_000}.{code}", f"Member {NOW_S}.{code}x", f"Member {NOW_S}.\udcff", f"Member -1.{code}"]
    assert not any(is_proof(text, "token", ADDRESS, PATH, NOW_S) for text in texts)
