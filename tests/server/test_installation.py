"""Setting an operator up: authority, keys, certificates; every step can be repeated; what does not fit is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import stat
from pathlib import Path

import pytest

from server import keyring as files
from server.authority.authority import ISSUED, Authority
from server.installation import init, install, register_purse
from server.keyring import check_keyring, load_keyring
from server.settings import Settings
from server.storage.sqlite import SqliteStorage
from support.keys import AUTHORITY, FOREIGN_OPERATOR, NOW, OPERATOR, key
from support.operator_world import SeededEntropy, World, certification_request
from wallet_core.certificates import CertificateClass
from wallet_core.errors import (
    BadSignatureError,
    ConfigurationError,
    ExpiredCertificateError,
    MismatchError,
    OutOfRangeError,
    TestKeyRefusedError,
    UntrustedCertificateError,
    UsageError,
    WrongClassError,
)
from wallet_core.messages import CertificationRequest, Issuance, Signed, parse

SECRET = (files.OPERATOR_KEY, files.PURSE_KEY, files.MASTER_KEY, files.ADMIN_TOKEN)


def clock() -> int:
    return NOW


def later() -> int:
    return NOW + 1_000


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "authority", SeededEntropy("authority"), clock)


@pytest.fixture
def directory(tmp_path: Path, authority: Authority) -> Path:
    """An initialised server directory with the operator's certificate beside it."""
    entropy = SeededEntropy("server")
    request = init(tmp_path / "server", entropy)
    (tmp_path / "operator.cert").write_bytes(authority.certify(request, clock).to_bytes())
    return tmp_path / "server"


def installed(directory: Path, seed: str = "install") -> files.Keyring:
    root = directory.parent / "authority" / "authority.cert"
    return install(directory, directory.parent / "operator.cert", root, SeededEntropy(seed), clock)


class TestTheAuthority:
    def test_is_made_once_and_marked_as_test(self, authority: Authority, tmp_path: Path) -> None:
        again = Authority.create(tmp_path / "authority", SeededEntropy("other"), later)
        assert again.certificate == authority.certificate
        assert authority.certificate.test
        key_file = tmp_path / "authority" / "authority.key"
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600

    def test_is_needed_first(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError):
            Authority(tmp_path)

    def test_certifies_an_operator_once(self, authority: Authority) -> None:
        request = certification_request(key("operator 2"), CertificateClass.OPERATOR, b"")
        made = authority.certify(request, clock)
        made.verify_signature(authority.certificate.key)
        assert (made.subject_class, made.test) == (CertificateClass.OPERATOR, True)
        assert authority.certify(request, later) == made

    @pytest.mark.parametrize("wanted", [c for c in CertificateClass if c is not CertificateClass.OPERATOR])
    def test_certifies_nothing_else(self, authority: Authority, wanted: CertificateClass) -> None:
        with pytest.raises(WrongClassError):
            authority.certify(certification_request(key("x"), wanted, b""), clock)

    def test_wants_a_proof_made_for_it(self, authority: Authority) -> None:
        with pytest.raises(MismatchError):
            authority.certify(certification_request(key("x"), CertificateClass.OPERATOR, b"code"), clock)
        forged = certification_request(key("x"), CertificateClass.OPERATOR, b"")
        with pytest.raises(BadSignatureError):
            authority.certify(forged[:-1] + bytes((forged[-1] ^ 1,)), clock)

    def test_counts_issuances_for_each_purse(self, authority: Authority, tmp_path: Path) -> None:
        first, second = b"\1" * 32, b"\2" * 32
        serials = [authority.issue(purse, 5).message.serial for purse in (first, first, second)]
        assert serials == [1, 2, 1]
        assert authority.issue(first, 10).verify(authority.certificate.key).amount == 10
        assert authority.issued() == 25
        stored = sorted((tmp_path / "authority" / ISSUED).iterdir())
        assert [parse(Issuance, path.read_bytes()).message.serial for path in stored] == [1, 2, 3, 1]

    @pytest.mark.parametrize("amount", [0, -1, 2**53])
    def test_issues_only_amounts_that_can_be_counted(self, authority: Authority, amount: int) -> None:
        with pytest.raises(UsageError):
            authority.issue(b"\1" * 32, amount)
        assert authority.issued() == 0

    def test_a_purse_has_an_id(self, authority: Authority) -> None:
        with pytest.raises(OutOfRangeError):
            authority.issue(b"\1", 5)


class TestInit:
    def test_makes_a_request_and_keeps_its_keys(self, tmp_path: Path) -> None:
        request = init(tmp_path, SeededEntropy("a"))
        names = [files.OPERATOR_KEY, files.MASTER_KEY, files.ADMIN_TOKEN, files.OPERATOR_REQUEST]
        before = {name: (tmp_path / name).read_bytes() for name in names}
        assert init(tmp_path, SeededEntropy("b")) == request
        assert {name: (tmp_path / name).read_bytes() for name in before} == before
        message = parse(CertificationRequest, request)
        assert message.verify(message.message.key).challenge == hashlib.sha256(b"").digest()


class TestInstall:
    def test_makes_a_keyring_that_fits_together(self, directory: Path) -> None:
        keyring = installed(directory)
        check_keyring(keyring)
        purse = keyring.purse_certificate
        assert (purse.subject_class, purse.epoch, purse.test) == (CertificateClass.OPERATOR_PURSE, 1, True)
        assert keyring.policy.message.operator == keyring.operator_certificate.subject
        assert Settings.of_directory(directory).database == directory / "server.db"
        for name in SECRET:
            assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600

    def test_again_changes_nothing(self, directory: Path) -> None:
        installed(directory)
        before = {path.name: path.read_bytes() for path in directory.iterdir()}
        installed(directory, "other entropy")
        assert {path.name: path.read_bytes() for path in directory.iterdir()} == before

    def test_needs_init(self, tmp_path: Path, authority: Authority) -> None:
        with pytest.raises(ConfigurationError, match="operator key"):
            install(tmp_path / "empty", tmp_path, tmp_path, SeededEntropy("x"), clock)

    def test_another_operators_certificate(self, directory: Path, authority: Authority) -> None:
        other = authority.certify(certification_request(key("x"), CertificateClass.OPERATOR, b""), clock)
        (directory.parent / "operator.cert").write_bytes(other.to_bytes())
        with pytest.raises(MismatchError):
            installed(directory)
        assert not (directory / files.PURSE_KEY).exists()

    def test_a_certificate_of_another_authority(self, directory: Path) -> None:
        (directory.parent / "operator.cert").write_bytes(FOREIGN_OPERATOR.certificate.to_bytes())
        with pytest.raises(UntrustedCertificateError):
            installed(directory)

    def test_an_expired_certificate(self, directory: Path) -> None:
        root = directory.parent / "authority" / "authority.cert"
        with pytest.raises(ExpiredCertificateError):
            install(directory, directory.parent / "operator.cert", root, SeededEntropy("x"), lambda: 2**32 - 1)

    def test_no_certificate_at_all(self, directory: Path) -> None:
        (directory.parent / "operator.cert").write_bytes(b"rubbish")
        with pytest.raises(ConfigurationError, match="not a certificate"):
            installed(directory)

    @pytest.mark.parametrize("name", [*SECRET, files.OPERATOR_CERTIFICATE, files.AUTHORITY_CERTIFICATE, files.POLICY])
    def test_a_missing_file_is_named(self, directory: Path, name: str) -> None:
        installed(directory)
        (directory / name).unlink()
        with pytest.raises(ConfigurationError, match=name):
            load_keyring(directory)

    @pytest.mark.parametrize("name", [files.MASTER_KEY, files.ADMIN_TOKEN])
    def test_a_broken_secret(self, directory: Path, name: str) -> None:
        installed(directory)
        (directory / name).write_bytes(b"\xff\n" if name == files.ADMIN_TOKEN else b"abc")
        with pytest.raises(ConfigurationError):
            load_keyring(directory)

    def test_the_purse_is_registered_once_and_no_other(self, directory: Path, tmp_path: Path) -> None:
        keyring = installed(directory)
        storage = SqliteStorage(directory / files.DATABASE)
        register_purse(storage, keyring)
        register_purse(storage, keyring)
        (tmp_path / "other").mkdir()
        with pytest.raises(ConfigurationError, match="another operator"):
            register_purse(storage, World.make(tmp_path / "other").keyring)
        storage.close()


class TestTheKeyring:
    @pytest.fixture
    def keyring(self, tmp_path: Path) -> files.Keyring:
        return World.make(tmp_path).keyring

    def test_parts_of_different_operators(self, keyring: files.Keyring) -> None:
        foreign = dataclasses.replace(keyring, operator_certificate=FOREIGN_OPERATOR.certificate)
        with pytest.raises(ConfigurationError, match="do not fit together"):
            check_keyring(foreign)
        swapped = dataclasses.replace(keyring, purse=OPERATOR.key)
        with pytest.raises(ConfigurationError, match="does not belong"):
            check_keyring(swapped)
        policy = Signed.sign(keyring.policy.message, key("somebody"))
        with pytest.raises(ConfigurationError, match="do not fit together"):
            check_keyring(dataclasses.replace(keyring, policy=policy))
        with pytest.raises(ConfigurationError, match="not complete"):
            check_keyring(dataclasses.replace(keyring, master=b"short"))

    def test_production_refuses_test_keys(self, keyring: files.Keyring) -> None:
        assert not keyring.production
        root = dataclasses.replace(AUTHORITY.certificate, test=False).signed_by(AUTHORITY.key)
        real = dataclasses.replace(keyring, authority_certificate=root)
        assert real.production
        with pytest.raises(TestKeyRefusedError):
            real.trust()

    def test_what_is_derived_differs_by_purpose_and_value(self, keyring: files.Keyring) -> None:
        derived = {
            keyring.audit_key(b"a"),
            keyring.audit_key(b"b"),
            keyring.code_digest("a")[:16],
            keyring.idempotency_digest("a")[:16],
            dataclasses.replace(keyring, master=bytes(32)).audit_key(b"a"),
        }
        assert len(derived) == 5

    def test_nothing_secret_is_shown(self, keyring: files.Keyring, tmp_path: Path) -> None:
        shown = repr(keyring) + repr(World.make(tmp_path).settings())
        assert keyring.master.hex() not in shown
        assert repr(keyring.master) not in shown
        assert keyring.admin_token not in shown

    def test_the_token(self, keyring: files.Keyring) -> None:
        assert keyring.is_admin(keyring.admin_token)
        assert not keyring.is_admin(keyring.admin_token + "x")
        assert not keyring.is_admin("")
