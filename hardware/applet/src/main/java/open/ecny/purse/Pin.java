package open.ecny.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * VERIFY: one try less, durable, before the comparison (transfer.md, rule 13).
 *
 * <p>The PIN is an object of STORE DATA and its tries are in the state record, so that PAY and VERIFY commit them
 * together with what they allow; an OwnerPIN would keep a count of its own beside the record.
 */
final class Pin {
    private static final byte FORMAT_2 = 0x20;
    private static final byte LEAST_DIGITS = 4;
    private static final byte MOST_DIGITS = 12;
    private static final byte FILLER = 0x0F;

    private final Memory memory;

    Pin(Memory memory) {
        this.memory = memory;
    }

    /**
     * The PIN block (8 bytes) lies at 0. Throws MALFORMED (what is no PIN is no guess and costs no try), PIN_BLOCKED,
     * or 63Cx: wrong, x tries left; that one try is used up.
     */
    void verify(byte[] buffer) {
        memory.setPinVerified(false);
        if (!isBlock(buffer, (short) 0)) {
            ISOException.throwIt(Words.MALFORMED);
        }
        State state = memory.state;
        byte left = state.now[State.PIN_TRIES];
        if (left == 0) {
            ISOException.throwIt(Words.PIN_BLOCKED);
        }
        left--;
        state.now[State.PIN_TRIES] = left;
        state.commit(); // pulling the card now buys no free guess
        if (!memory.objects.holds(Objects.PIN, buffer, (short) 0)) {
            ISOException.throwIt((short) (Words.PIN_WRONG | left));
        }
        state.now[State.PIN_TRIES] = State.TRIES;
        Util.arrayFillNonAtomic(state.now, State.UNVERIFIED, Bytes.AMOUNT, (byte) 0);
        state.commit();
        memory.setPinVerified(true);
    }

    /** Whether 8 bytes are a PIN block of ISO 9564-1 format 2: {@code 2L}, L digits, {@code F} to the end. */
    static boolean isBlock(byte[] block, short at) {
        byte digits = (byte) (block[at] & 0x0F);
        if ((block[at] & (byte) 0xF0) != FORMAT_2 || digits < LEAST_DIGITS || digits > MOST_DIGITS) {
            return false;
        }
        for (short i = 0; i < (short) (2 * (Objects.PIN_SIZE - 1)); i++) {
            byte both = block[(short) (at + 1 + (i >> 1))];
            byte nibble = (byte) ((i & 1) == 0 ? (both >> 4) & 0x0F : both & 0x0F);
            if (i < digits ? nibble > 9 : nibble != FILLER) {
                return false;
            }
        }
        return true;
    }
}
