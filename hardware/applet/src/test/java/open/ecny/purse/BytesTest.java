package open.ecny.purse;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Numbers of 4 and 8 bytes, held against those of the Java language. */
class BytesTest {
    private static final short WIDTH = Bytes.AMOUNT;
    private static final long[] EDGES = {
        0, 1, 0xFF, 0x100, (1L << 53) - 1, 1L << 53, Long.MAX_VALUE, Long.MIN_VALUE, -1
    };

    private static byte[] bytes(long value) {
        return ByteBuffer.allocate(WIDTH).putLong(value).array();
    }

    private static void check(long left, long right) {
        byte[] to = new byte[WIDTH];
        boolean carry = Bytes.add(bytes(left), (short) 0, bytes(right), (short) 0, to, (short) 0, WIDTH);
        assertArrayEquals(bytes(left + right), to);
        assertEquals(Long.compareUnsigned(left + right, left) < 0, carry);
        boolean borrow = Bytes.subtract(bytes(left), (short) 0, bytes(right), (short) 0, to, (short) 0, WIDTH);
        assertArrayEquals(bytes(left - right), to);
        assertEquals(Long.compareUnsigned(left, right) < 0, borrow);
        short order = Bytes.compare(bytes(left), (short) 0, bytes(right), (short) 0, WIDTH);
        assertEquals(Integer.signum(Long.compareUnsigned(left, right)), Integer.signum(order));
        assertEquals(left == right, Bytes.equal(bytes(left), (short) 0, bytes(right), (short) 0, WIDTH));
    }

    @Test
    void sumsDifferencesAndOrderAreThoseOfNumbers() {
        Random random = new Random(1);
        for (long left : EDGES) {
            for (long right : EDGES) {
                check(left, right);
            }
            check(left, random.nextLong());
        }
        for (int i = 0; i < 1_000; i++) {
            check(random.nextLong(), random.nextLong() >>> random.nextInt(64));
        }
    }

    @Test
    void aSumMayTakeThePlaceOfEitherOperand() {
        byte[] left = bytes(0x01FF);
        byte[] right = bytes(0x0101);
        Bytes.add(left, (short) 0, right, (short) 0, left, (short) 0, WIDTH);
        assertArrayEquals(bytes(0x0300), left);
        Bytes.subtract(left, (short) 0, right, (short) 0, right, (short) 0, WIDTH);
        assertArrayEquals(bytes(0x01FF), right);
    }

    @Test
    void aCounterGoesOverItsBytesAndTouchesNoOther() {
        byte[] number = {9, 0, 0, (byte) 0xFF, (byte) 0xFF, 9};
        Bytes.increment(number, (short) 1, Bytes.COUNTER);
        assertArrayEquals(new byte[] {9, 0, 1, 0, 0, 9}, number);
        byte[] last = {9, -1, -1, -1, -1, 9};
        Bytes.increment(last, (short) 1, Bytes.COUNTER);
        assertArrayEquals(new byte[] {9, 0, 0, 0, 0, 9}, last);
    }

    @Test
    void anAmountHasFiftyThreeBits() {
        assertTrue(Bytes.isAmount(bytes((1L << 53) - 1), (short) 0));
        assertFalse(Bytes.isAmount(bytes(1L << 53), (short) 0));
        assertFalse(Bytes.isAmount(bytes(1L << 56), (short) 0));
        assertTrue(Bytes.isZero(bytes(0), (short) 0, WIDTH));
        assertFalse(Bytes.isZero(bytes(1), (short) 0, WIDTH));
    }
}
