package open.ecny.vectors;

import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Deterministic CBOR (RFC 8949, 4.2.1) and nothing else: numbers as Long, byte strings, text, arrays, maps, booleans.
 *
 * <p>What it reads it would write in the same bytes: shortest heads, definite lengths, keys in the order of their
 * bytes, each once. So nothing has to be encoded again to be compared.
 */
final class Cbor {
    private static final int MAX_DEPTH = 5;

    private final byte[] data;
    private int at;

    private Cbor(byte[] data) {
        this.data = data;
    }

    static Object decode(byte[] data) throws Fault {
        Cbor in = new Cbor(data);
        Object value = in.item(0);
        if (in.at != data.length) {
            throw new Fault("oversized", "bytes after the end");
        }
        return value;
    }

    static byte[] encode(Object value) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        write(out, value);
        return out.toByteArray();
    }

    /** A head alone: for what is not a value here, as a tag. */
    static byte[] head(int major, long argument) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        writeHead(out, major, argument);
        return out.toByteArray();
    }

    // Reading

    private Object item(int depth) throws Fault {
        if (depth > MAX_DEPTH) {
            throw new Fault("not-canonical", "nested deeper than any message");
        }
        int first = next();
        int major = first >> 5;
        if (major == 7) {
            if (first == 0xf4 || first == 0xf5) {
                return first == 0xf5;
            }
            throw new Fault("not-canonical", "a float, null or break");
        }
        long argument = argument(first & 31);
        switch (major) {
            case 0:
                return argument;
            case 1:
                return -1 - argument;
            case 2:
                return take(argument);
            case 3:
                return new String(take(argument), java.nio.charset.StandardCharsets.UTF_8);
            case 4:
                return list(argument, depth);
            case 5:
                return map(argument, depth);
            default:
                throw new Fault("not-canonical", "a tag where none belongs");
        }
    }

    private List<Object> list(long size, int depth) throws Fault {
        List<Object> found = new ArrayList<>();
        for (long i = 0; i < size; i++) {
            found.add(item(depth + 1));
        }
        return found;
    }

    private Map<Object, Object> map(long size, int depth) throws Fault {
        Map<Object, Object> found = new LinkedHashMap<>();
        byte[] before = {};
        for (long i = 0; i < size; i++) {
            int start = at;
            Object key = item(depth + 1);
            byte[] encoded = Arrays.copyOfRange(data, start, at);
            if (i > 0 && Arrays.compareUnsigned(before, encoded) >= 0) {
                throw new Fault("not-canonical", "labels out of order, or twice");
            }
            before = encoded;
            found.put(key, item(depth + 1));
        }
        return found;
    }

    private int next() throws Fault {
        if (at >= data.length) {
            throw new Fault("truncated", "ends in the middle of an item");
        }
        return data[at++] & 0xff;
    }

    private byte[] take(long size) throws Fault {
        if (size > data.length - at) {
            throw new Fault("truncated", "ends in the middle of a string");
        }
        at += (int) size;
        return Arrays.copyOfRange(data, at - (int) size, at);
    }

    private long argument(int extra) throws Fault {
        if (extra < 24) {
            return extra;
        }
        if (extra > 27) {
            throw new Fault("not-canonical", "no definite length");
        }
        int wide = 1 << extra - 24;
        long found = Octets.number(take(wide));
        boolean shortest = wide == 1 ? found >= 24 : found < 0 || found >= 1L << 4 * wide;
        if (!shortest || found < 0) {
            throw new Fault("not-canonical", "not the shortest head");
        }
        return found;
    }

    // Writing

    private static void write(ByteArrayOutputStream out, Object value) {
        if (value instanceof Long) {
            long number = (Long) value;
            writeHead(out, number < 0 ? 1 : 0, number < 0 ? -1 - number : number);
        } else if (value instanceof byte[]) {
            writeHead(out, 2, ((byte[]) value).length);
            out.writeBytes((byte[]) value);
        } else if (value instanceof String) {
            byte[] text = ((String) value).getBytes(java.nio.charset.StandardCharsets.UTF_8);
            writeHead(out, 3, text.length);
            out.writeBytes(text);
        } else if (value instanceof List) {
            writeHead(out, 4, ((List<?>) value).size());
            ((List<?>) value).forEach(one -> write(out, one));
        } else if (value instanceof Map) {
            writeMap(out, (Map<?, ?>) value);
        } else {
            throw new IllegalArgumentException("no message has a " + value.getClass());
        }
    }

    private static void writeMap(ByteArrayOutputStream out, Map<?, ?> map) {
        writeHead(out, 5, map.size());
        List<byte[][]> pairs = new ArrayList<>();
        map.forEach((key, value) -> pairs.add(new byte[][] {encode(key), encode(value)}));
        pairs.sort((one, other) -> Arrays.compareUnsigned(one[0], other[0]));
        for (byte[][] pair : pairs) {
            out.writeBytes(pair[0]);
            out.writeBytes(pair[1]);
        }
    }

    private static void writeHead(ByteArrayOutputStream out, int major, long argument) {
        if (argument < 24) {
            out.write(major << 5 | (int) argument);
            return;
        }
        int power = argument < 1L << 8 ? 0 : argument < 1L << 16 ? 1 : argument < 1L << 32 ? 2 : 3;
        out.write(major << 5 | 24 + power);
        out.writeBytes(Octets.number(argument, 1 << power));
    }
}
