package open.ecny.vectors;

import java.math.BigInteger;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPrivateKeySpec;
import java.security.spec.ECPublicKeySpec;
import java.util.LinkedHashMap;
import java.util.Map;

/** P-256: ECDSA by the platform, point multiplication (which it does not offer) by hand. */
final class Curve {
    static final BigInteger P =
        new BigInteger("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", 16);
    static final BigInteger N =
        new BigInteger("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16);
    private static final BigInteger GX =
        new BigInteger("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296", 16);
    private static final BigInteger GY =
        new BigInteger("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5", 16);
    private static final BigInteger THREE = BigInteger.valueOf(3);
    private static final String ALGORITHM = "SHA256withECDSAinP1363Format";

    private Curve() {
    }

    /** The scalar of a test key: SHA-512("ecny-key-1" ‖ seed), its first 48 bytes, modulo n − 1, plus 1. */
    static BigInteger scalar(byte[] seed) throws GeneralSecurityException {
        byte[] wide = Octets.hash("SHA-512", "ecny-key-1".getBytes(), seed);
        return new BigInteger(1, Octets.part(wide, 0, 48)).mod(N.subtract(BigInteger.ONE)).add(BigInteger.ONE);
    }

    /** x and y of scalar · G, 32 bytes each. */
    static byte[][] point(BigInteger scalar) {
        BigInteger[] sum = null;
        BigInteger[] power = {GX, GY};
        for (int bit = 0; bit < scalar.bitLength(); bit++) {
            if (scalar.testBit(bit)) {
                sum = sum == null ? power : add(sum, power);
            }
            power = add(power, power);
        }
        return new byte[][] {fixed(sum[0]), fixed(sum[1])};
    }

    private static BigInteger[] add(BigInteger[] a, BigInteger[] b) {
        BigInteger slope = a == b || a[0].equals(b[0])
            ? a[0].pow(2).subtract(BigInteger.ONE).multiply(THREE).multiply(a[1].shiftLeft(1).modInverse(P))
            : b[1].subtract(a[1]).multiply(b[0].subtract(a[0]).modInverse(P));
        BigInteger x = slope.pow(2).subtract(a[0]).subtract(b[0]).mod(P);
        return new BigInteger[] {x, slope.multiply(a[0].subtract(x)).subtract(a[1]).mod(P)};
    }

    static byte[] fixed(BigInteger number) {
        byte[] found = number.toByteArray();
        byte[] padded = new byte[32];
        int size = Math.min(32, found.length);
        System.arraycopy(found, found.length - size, padded, 32 - size, size);
        return padded;
    }

    static byte[] coseKey(byte[] x, byte[] y) {
        Map<Object, Object> members = new LinkedHashMap<>();
        members.put(1L, 2L);
        members.put(-1L, 1L);
        members.put(-2L, x);
        members.put(-3L, y);
        return Cbor.encode(members);
    }

    /** RFC 9679. */
    static byte[] thumbprint(byte[] x, byte[] y) throws GeneralSecurityException {
        return Octets.hash("SHA-256", coseKey(x, y));
    }

    static boolean verifies(byte[] x, byte[] y, byte[] content, byte[] signature) {
        try {
            Signature verifying = Signature.getInstance(ALGORITHM);
            ECPoint point = new ECPoint(new BigInteger(1, x), new BigInteger(1, y));
            verifying.initVerify(KeyFactory.getInstance("EC").generatePublic(new ECPublicKeySpec(point, curve())));
            verifying.update(content);
            return verifying.verify(signature);
        } catch (GeneralSecurityException wrong) {
            return false;
        }
    }

    static byte[] sign(BigInteger scalar, byte[] content) throws GeneralSecurityException {
        Signature signing = Signature.getInstance(ALGORITHM);
        signing.initSign(KeyFactory.getInstance("EC").generatePrivate(new ECPrivateKeySpec(scalar, curve())));
        signing.update(content);
        return signing.sign();
    }

    private static ECParameterSpec curve() throws GeneralSecurityException {
        AlgorithmParameters parameters = AlgorithmParameters.getInstance("EC");
        parameters.init(new ECGenParameterSpec("secp256r1"));
        return parameters.getParameterSpec(ECParameterSpec.class);
    }
}
