package open.ecny.vectors;

import java.io.ByteArrayOutputStream;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;

/** Byte strings and hexadecimal. */
final class Octets {
    private Octets() {
    }

    static byte[] of(Object hex) {
        String text = (String) hex;
        byte[] found = new byte[text.length() / 2];
        for (int i = 0; i < found.length; i++) {
            found[i] = (byte) Integer.parseInt(text.substring(2 * i, 2 * i + 2), 16);
        }
        return found;
    }

    static String hex(byte[] data) {
        StringBuilder out = new StringBuilder();
        for (byte one : data) {
            out.append(Character.forDigit(one >> 4 & 15, 16)).append(Character.forDigit(one & 15, 16));
        }
        return out.toString();
    }

    static byte[] join(byte[]... parts) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            out.writeBytes(part);
        }
        return out.toByteArray();
    }

    static byte[] part(byte[] data, int from, int size) {
        byte[] found = new byte[size];
        System.arraycopy(data, from, found, 0, size);
        return found;
    }

    /** Big-endian and unsigned; what does not fit 63 bits is no number of this project. */
    static long number(byte[] data) {
        long value = 0;
        for (byte one : data) {
            value = value << 8 | one & 0xff;
        }
        return value;
    }

    static byte[] number(long value, int size) {
        byte[] found = new byte[size];
        for (int i = 0; i < Math.min(size, 8); i++) {
            found[size - 1 - i] = (byte) (value >>> 8 * i);
        }
        return found;
    }

    static byte[] hash(String algorithm, byte[]... parts) throws GeneralSecurityException {
        return MessageDigest.getInstance(algorithm).digest(join(parts));
    }
}
