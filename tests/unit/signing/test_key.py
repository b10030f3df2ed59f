"""Keys: what is written can be read by its owner alone, and nothing else passes for a key."""

from __future__ import annotations

import base64
import os
import pickle
import stat
from typing import TYPE_CHECKING

import pytest

from hearth.errors import SigningError
from hearth.signing import PublicKey, SigningKey

if TYPE_CHECKING:
    from pathlib import Path

# RFC 8032, section 7.1, tests 1 to 3: secret key, public key, message, signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
]


@pytest.mark.parametrize("secret, public, message, signature", RFC_8032)
def test_the_rfcs_own_examples(secret: str, public: str, message: str, signature: str) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)))
    assert key.public.raw.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    assert key.public.verify(bytes.fromhex(signature), bytes.fromhex(message))
    assert not key.public.verify(bytes.fromhex(signature), bytes.fromhex(message) + b"!")
    assert not key.public.verify(bytes.fromhex(signature)[:-1], bytes.fromhex(message))


def test_a_key_is_read_back_and_nobody_else_can(tmp_path: Path) -> None:
    key = SigningKey.generate()
    key.save(tmp_path / "a.pem")
    assert stat.S_IMODE((tmp_path / "a.pem").stat().st_mode) == 0o600
    assert SigningKey.load(tmp_path / "a.pem").public == key.public
    with pytest.raises(SigningError, match="never overwritten"):
        SigningKey.generate().save(tmp_path / "a.pem")
    assert SigningKey.load(tmp_path / "a.pem").public == key.public


def test_half_a_key_never_takes_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds a file takes it for a key: after a crash, or on a full disk, there is none."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for name, call, error in (("fsync", full, SigningError), ("link", killed, KeyboardInterrupt)):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, call)
            with pytest.raises(error):
                SigningKey.generate().save(tmp_path / "a.pem")
        assert list(tmp_path.iterdir()) == []
    SigningKey.generate().save(tmp_path / "a.pem")


def test_a_key_is_written_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    key = SigningKey.generate()
    key.save(tmp_path / "a.pem")
    assert SigningKey.load(tmp_path / "a.pem").public == key.public
    assert stat.S_IMODE((tmp_path / "a.pem").stat().st_mode) == 0o600
    with pytest.raises(SigningError, match="never overwritten"):
        SigningKey.generate().save(tmp_path / "a.pem")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pem"]


def test_a_passphrase_is_needed_and_has_to_be_right(tmp_path: Path) -> None:
    key = SigningKey.generate()
    key.save(tmp_path / "a.pem", "correct horse")
    assert SigningKey.load(tmp_path / "a.pem", lambda: "correct horse").public == key.public
    with pytest.raises(SigningError, match="has a passphrase"):
        SigningKey.load(tmp_path / "a.pem")
    with pytest.raises(SigningError, match="not that of this key"):
        SigningKey.load(tmp_path / "a.pem", lambda: "wrong")
    for impossible in ("", "x" * 1024):
        with pytest.raises(SigningError, match="1023 bytes"):
            key.save(tmp_path / "b.pem", impossible)


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    SigningKey.generate().save(tmp_path / "a.pem")
    (tmp_path / "a.pem").chmod(mode)
    with pytest.raises(SigningError, match="others than its owner"):
        SigningKey.load(tmp_path / "a.pem")


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SigningError, match="hearth keygen"):
        SigningKey.load(tmp_path / "missing.pem")
    for content in (b"", b"text", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", b"x" * 20_000):
        (tmp_path / "a.pem").write_bytes(content)
        (tmp_path / "a.pem").chmod(0o600)
        with pytest.raises(SigningError):
            SigningKey.load(tmp_path / "a.pem")
    with pytest.raises(SigningError, match="regular file"):
        SigningKey.load(tmp_path)


def test_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "a.pem").write_bytes(pem)
    (tmp_path / "a.pem").chmod(0o600)
    with pytest.raises(SigningError, match="only Ed25519"):
        SigningKey.load(tmp_path / "a.pem")


@pytest.mark.parametrize("kind, length", [(0x70, 0), (0x70, 31), (0x70, 33), (0x6F, 32), (0x71, 32)])
def test_a_key_whose_length_is_not_its_kinds_is_refused(tmp_path: Path, kind: int, length: int) -> None:
    """OpenSSL has no word for it; PKCS #8 by hand (RFC 8410, section 7): Ed25519, and X448 and Ed448 with 32 bytes."""
    algorithm = bytes((0x30, 5, 6, 3, 0x2B, 0x65, kind))
    body = b"\x02\x01\x00" + algorithm + bytes((4, length + 2, 4, length)) + b"k" * length
    path = tmp_path / "key.pem"
    text = base64.b64encode(bytes((0x30, len(body))) + body).decode()
    path.write_text(f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    path.chmod(0o600)
    with pytest.raises(SigningError, match="no private key"):
        SigningKey.load(path)


def test_a_public_key_has_one_text_form() -> None:
    key = SigningKey.generate().public
    assert PublicKey.parse(str(key)) == key
    encoded = base64.b64encode(key.raw).decode()
    stray = encoded[:-2] + chr(ord(encoded[-2]) + 1) + "="  # the last bits of base64 that decode to nothing
    for text in (
        "",
        "ed25519:",
        encoded,
        f"ed25519:{encoded[:-4]}",
        f"ed25519:{encoded}\n",
        f"ed25519:{stray}",
        "rsa:x",
    ):
        with pytest.raises(SigningError):
            PublicKey.parse(text)


def test_a_private_key_shows_itself_nowhere() -> None:
    key = SigningKey.generate()
    assert repr(key) == f"SigningKey({key.public})"
    with pytest.raises(TypeError):
        pickle.dumps(key)
