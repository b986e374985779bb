package open.ecny.client;

import java.math.BigInteger;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.security.spec.PKCS8EncodedKeySpec;

/** P-256 keys and ECDSA signatures as r ‖ s, 32 bytes each: the platform's "P1363" format, so no DER is in sight. */
final class Key {
    static final int COORDINATE = 32;
    static final int SIGNATURE = 64;
    private static final String ALGORITHM = "SHA256withECDSAinP1363Format";

    private Key() {
    }

    static KeyPair generate() throws GeneralSecurityException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        return generator.generateKeyPair();
    }

    static PrivateKey fromPkcs8(byte[] encoded) throws GeneralSecurityException {
        return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(encoded));
    }

    static byte[] x(PublicKey key) {
        return fixed(((ECPublicKey) key).getW().getAffineX());
    }

    static byte[] y(PublicKey key) {
        return fixed(((ECPublicKey) key).getW().getAffineY());
    }

    /** A coordinate keeps its leading zeros, and loses the sign byte that BigInteger may put before it. */
    private static byte[] fixed(BigInteger coordinate) {
        byte[] found = coordinate.toByteArray();
        byte[] padded = new byte[COORDINATE];
        int size = Math.min(found.length, COORDINATE);
        System.arraycopy(found, found.length - size, padded, COORDINATE - size, size);
        return padded;
    }

    /** The id of a key (RFC 9679): the hash of its COSE_Key with the required members only, in deterministic order. */
    static byte[] id(byte[] x, byte[] y) {
        return Bytes.sha256(
            new Cbor.Writer().map(4).label(1, 2).label(-1, 1).label(-2, x).label(-3, y).done());
    }

    /** The platform refuses a point that is not on the curve when it verifies. */
    static PublicKey fromPoint(byte[] x, byte[] y) throws GeneralSecurityException {
        AlgorithmParameters curve = AlgorithmParameters.getInstance("EC");
        curve.init(new ECGenParameterSpec("secp256r1"));
        ECPoint point = new ECPoint(new BigInteger(1, x), new BigInteger(1, y));
        return KeyFactory.getInstance("EC")
            .generatePublic(new ECPublicKeySpec(point, curve.getParameterSpec(ECParameterSpec.class)));
    }

    static byte[] sign(PrivateKey key, byte[] content) throws GeneralSecurityException {
        Signature signing = Signature.getInstance(ALGORITHM);
        signing.initSign(key);
        signing.update(content);
        return signing.sign();
    }

    static boolean verifies(byte[] x, byte[] y, byte[] content, byte[] signature) {
        try {
            Signature verifying = Signature.getInstance(ALGORITHM);
            verifying.initVerify(fromPoint(x, y));
            verifying.update(content);
            return verifying.verify(signature);
        } catch (GeneralSecurityException wrong) {
            return false; // no such point, or no such signature
        }
    }
}
