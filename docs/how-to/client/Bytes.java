package open.ecny.client;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.HexFormat;

/** Byte strings: hexadecimal, numbers of fixed size (big-endian, as everywhere in the specification), SHA-256. */
final class Bytes {
    private Bytes() {
    }

    static byte[] of(String hex) {
        return HexFormat.of().parseHex(hex);
    }

    static String hex(byte[] data) {
        return HexFormat.of().formatHex(data);
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static byte[] join(byte[]... parts) {
        int size = 0;
        for (byte[] part : parts) {
            size += part.length;
        }
        ByteBuffer all = ByteBuffer.allocate(size);
        for (byte[] part : parts) {
            all.put(part);
        }
        return all.array();
    }

    /** A counter, an epoch: 4 bytes, unsigned. */
    static byte[] u32(long value) {
        return ByteBuffer.allocate(4).putInt((int) value).array();
    }

    /** Fen: 8 bytes. */
    static byte[] u64(long value) {
        return ByteBuffer.allocate(8).putLong(value).array();
    }

    /** Reads back either; at most 2^53 - 1 is an amount, so a negative one cannot be meant. */
    static long number(byte[] data) {
        long value = 0;
        for (byte octet : data) {
            value = value << 8 | octet & 0xff;
        }
        return value;
    }

    static byte[] sha256(byte[] data) {
        try {
            return MessageDigest.getInstance("SHA-256").digest(data);
        } catch (GeneralSecurityException impossible) {
            throw new IllegalStateException(impossible); // every Java platform has it
        }
    }
}
