package open.ecny.purse;

import javacard.framework.Util;

/**
 * Big-endian unsigned numbers of fixed width in byte arrays, and comparison in constant time.
 *
 * <p>Amounts have 8 bytes and counters 4: type int is an option of the Java Card virtual machine, and long does not
 * exist, so numbers stay where they travel. Nothing here allocates.
 */
final class Bytes {
    /** Width of an amount in fen. */
    static final short AMOUNT = 8;

    /** Width of a counter, an epoch, a version. */
    static final short COUNTER = 4;

    private Bytes() {}

    /**
     * to = left + right, all of {@code width} bytes. Returns whether there was a carry out. {@code to} may be either
     * operand.
     */
    static boolean add(
            byte[] left, short leftAt, byte[] right, short rightAt, byte[] to, short toAt, short width) {
        short carry = 0;
        for (short i = (short) (width - 1); i >= 0; i--) {
            carry = (short) (carry + (left[(short) (leftAt + i)] & 0xFF) + (right[(short) (rightAt + i)] & 0xFF));
            to[(short) (toAt + i)] = (byte) carry;
            carry = (short) (carry >> 8);
        }
        return carry != 0;
    }

    /** to = left - right, all of {@code width} bytes. Returns whether there was a borrow (right was the larger). */
    static boolean subtract(
            byte[] left, short leftAt, byte[] right, short rightAt, byte[] to, short toAt, short width) {
        short borrow = 0;
        for (short i = (short) (width - 1); i >= 0; i--) {
            short digit = (short) (left[(short) (leftAt + i)] & 0xFF);
            digit = (short) (digit - (right[(short) (rightAt + i)] & 0xFF) - borrow);
            to[(short) (toAt + i)] = (byte) digit;
            borrow = (short) (digit < 0 ? 1 : 0);
        }
        return borrow != 0;
    }

    /** Negative, 0 or positive as left is below, equal to or above right. Not in constant time: for public numbers. */
    static short compare(byte[] left, short leftAt, byte[] right, short rightAt, short width) {
        for (short i = 0; i < width; i++) {
            short difference =
                    (short) ((left[(short) (leftAt + i)] & 0xFF) - (right[(short) (rightAt + i)] & 0xFF));
            if (difference != 0) {
                return difference;
            }
        }
        return 0;
    }

    /** Adds 1; all bytes FF become zeros. */
    static void increment(byte[] number, short at, short width) {
        for (short i = (short) (at + width - 1); i >= at; i--) {
            number[i]++;
            if (number[i] != 0) {
                return;
            }
        }
    }

    /** Whether 8 bytes are an amount that a purse can count: at most 2^53 - 1 fen. */
    static boolean isAmount(byte[] number, short at) {
        return number[at] == 0 && (number[(short) (at + 1)] & 0xE0) == 0;
    }

    /** Whether 4 bytes are all FF: one more than the last value of a counter. */
    static boolean isFull(byte[] counter, short at) {
        return Util.getShort(counter, at) == -1 && Util.getShort(counter, (short) (at + 2)) == -1;
    }

    static boolean isZero(byte[] number, short at, short width) {
        short seen = 0;
        for (short i = 0; i < width; i++) {
            seen |= number[(short) (at + i)];
        }
        return seen == 0;
    }

    /** Whether two stretches agree, in a time that does not depend on where they differ. */
    static boolean equal(byte[] left, short leftAt, byte[] right, short rightAt, short width) {
        short difference = 0;
        for (short i = 0; i < width; i++) {
            difference |= (short) (left[(short) (leftAt + i)] ^ right[(short) (rightAt + i)]);
        }
        return difference == 0;
    }
}
