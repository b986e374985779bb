package com.licel.jcardsim.bouncycastle.crypto.signers;

import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Arrays;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Stands before the class of the same name: the nonce of an ECDSA signature follows from key and digest (RFC 6979,
 * clause 3.2, with HMAC-SHA-256), so that a run of a simulated card can be replayed and compared byte for byte. A chip
 * draws it.
 *
 * <p>For orders of 256 bits and digests of 32 bytes, which is all that the simulator signs with here.
 */
public class RandomDSAKCalculator implements DSAKCalculator {
    private static final int SIZE = 32;

    private BigInteger order;
    private byte[] key;
    private byte[] value;

    @Override
    public boolean isDeterministic() {
        return true;
    }

    @Override
    public void init(BigInteger order, SecureRandom random) {
        throw new IllegalStateException("the nonce is not drawn");
    }

    @Override
    public void init(BigInteger order, BigInteger secret, byte[] digest) {
        this.order = order;
        byte[] both = Arrays.copyOf(octets(secret), 2 * SIZE);
        System.arraycopy(octets(new BigInteger(1, digest).mod(order)), 0, both, SIZE, SIZE);
        value = new byte[SIZE];
        Arrays.fill(value, (byte) 1);
        key = new byte[SIZE];
        key = mac(value, new byte[] {0}, both);
        value = mac(value);
        key = mac(value, new byte[] {1}, both);
        value = mac(value);
    }

    @Override
    public BigInteger nextK() {
        while (true) {
            value = mac(value);
            BigInteger nonce = new BigInteger(1, value);
            if (nonce.signum() > 0 && nonce.compareTo(order) < 0) {
                return nonce;
            }
            key = mac(value, new byte[] {0});
            value = mac(value);
        }
    }

    private static byte[] octets(BigInteger number) {
        byte[] raw = number.toByteArray();
        byte[] octets = new byte[SIZE];
        int size = Math.min(raw.length, SIZE); // a 33rd byte is a zero before the sign
        System.arraycopy(raw, raw.length - size, octets, SIZE - size, size);
        return octets;
    }

    private byte[] mac(byte[]... parts) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            for (byte[] part : parts) {
                mac.update(part);
            }
            return mac.doFinal();
        } catch (GeneralSecurityException error) {
            throw new IllegalStateException(error);
        }
    }
}
