package open.ecny.client;

import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import java.util.List;

/**
 * The CBOR that the messages use (RFC 8949), and no more: numbers, byte strings, arrays and maps, in the one
 * deterministic encoding. What this reader accepts is what {@link Writer} would write: it needs no second look.
 */
final class Cbor {
    private static final int UNSIGNED = 0;
    private static final int NEGATIVE = 1;
    private static final int BYTES = 2;
    private static final int ARRAY = 4;
    private static final int MAP = 5;
    private static final int TAG = 6;

    private Cbor() {
    }

    /** Writes items one after the other; maps and arrays are a head and then their content. */
    static final class Writer {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream();

        Writer number(long value) {
            return value < 0 ? head(NEGATIVE, -1 - value) : head(UNSIGNED, value);
        }

        Writer bytes(byte[] value) {
            head(BYTES, value.length);
            out.writeBytes(value);
            return this;
        }

        Writer array(int size) {
            return head(ARRAY, size);
        }

        Writer map(int size) {
            return head(MAP, size);
        }

        Writer tag(int number) {
            return head(TAG, number);
        }

        Writer label(int label, long value) {
            return number(label).number(value);
        }

        Writer label(int label, byte[] value) {
            return number(label).bytes(value);
        }

        Writer label(int label, List<byte[]> items) {
            number(label).array(items.size());
            items.forEach(this::bytes);
            return this;
        }

        /** Item bytes that are encoded already. */
        Writer raw(byte[] encoded) {
            out.writeBytes(encoded);
            return this;
        }

        byte[] done() {
            return out.toByteArray();
        }

        /** The shortest head for this argument (RFC 8949, 4.2.1). */
        private Writer head(int major, long argument) {
            int more = argument < 1L << 8 ? 1 : argument < 1L << 16 ? 2 : argument < 1L << 32 ? 4 : 8;
            int wide = argument < 24 ? 0 : more;
            int extra = wide == 0 ? (int) argument : 24 + Integer.numberOfTrailingZeros(wide);
            out.write(major << 5 | extra);
            for (int i = wide - 1; i >= 0; i--) {
                out.write((int) (argument >>> 8 * i));
            }
            return this;
        }
    }

    /** Reads items that the caller expects; anything else, a longer head included, is refused. */
    static final class Reader {
        private final byte[] data;
        private int at;

        Reader(byte[] data) {
            this.data = data;
        }

        long number() throws Refused {
            int major = peek();
            if (major != UNSIGNED && major != NEGATIVE) {
                throw Refused.notBelieved("no number where one belongs");
            }
            long argument = head(major);
            return major == UNSIGNED ? argument : -1 - argument;
        }

        byte[] bytes() throws Refused {
            return take(head(BYTES));
        }

        byte[] bytes(int size) throws Refused {
            byte[] found = bytes();
            if (found.length != size) {
                throw Refused.notBelieved(found.length + " bytes where " + size + " belong");
            }
            return found;
        }

        void expect(long number) throws Refused {
            if (number() != number) {
                throw Refused.notBelieved("another number than " + number);
            }
        }

        byte[] label(int label, int size) throws Refused {
            expect(label);
            return bytes(size);
        }

        int map() throws Refused {
            return (int) head(MAP);
        }

        int array() throws Refused {
            return (int) head(ARRAY);
        }

        void tag(int number) throws Refused {
            if (head(TAG) != number) {
                throw Refused.notBelieved("another tag than " + number);
            }
        }

        /** Nothing may follow. */
        void end() throws Refused {
            if (at != data.length) {
                throw Refused.notBelieved("bytes after the end");
            }
        }

        private int peek() throws Refused {
            if (at >= data.length) {
                throw Refused.notBelieved("ends too soon");
            }
            return (data[at] & 0xff) >> 5;
        }

        private byte[] take(long size) throws Refused {
            if (size < 0 || size > data.length - at) {
                throw Refused.notBelieved("ends too soon");
            }
            at += (int) size;
            return Arrays.copyOfRange(data, at - (int) size, at);
        }

        private long head(int major) throws Refused {
            if (peek() != major) {
                throw Refused.notBelieved("an item of another kind");
            }
            int extra = data[at++] & 0x1f;
            if (extra < 24) {
                return extra;
            }
            if (extra > 26) { // 27: eight bytes, which no message needs; above: reserved, or without length
                throw Refused.notBelieved("a length that no message has");
            }
            int wide = 1 << extra - 24;
            long argument = Bytes.number(take(wide));
            if (argument < (wide == 1 ? 24 : 1L << 8 * wide / 2)) {
                throw Refused.notBelieved("not the shortest head");
            }
            return argument;
        }
    }
}
