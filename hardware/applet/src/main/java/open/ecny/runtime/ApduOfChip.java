package open.ecny.runtime;

import com.licel.jcardsim.base.ApduCase;
import java.lang.reflect.Field;
import javacard.framework.APDU;

/**
 * What the simulator's APDU object does not do as its API promises: a short command with 255 bytes of data and Le has
 * 261 bytes, one more than its buffer; an extended Le field is taken as a signed number, and zeros in it as no Le at
 * all, where {@link APDU#setOutgoing} has 32767 for all that is more than a short can say.
 */
final class ApduOfChip {
    private static final int SHORT_BUFFER = 5 + 255 + 1;
    private static final int FIELD = 2;
    private static final int LE = 0; // in ramVars
    private static final Field BUFFER = field("buffer");
    private static final Field RAM_VARS = field("ramVars");

    private ApduOfChip() {}

    private static Field field(String name) {
        try {
            Field field = APDU.class.getDeclaredField(name);
            field.setAccessible(true);
            return field;
        } catch (NoSuchFieldException error) {
            throw new IllegalStateException(error);
        }
    }

    /** Gives the object for short commands a buffer that holds the longest one. */
    static void widen(APDU apdu) {
        Hooks.set(BUFFER, apdu, new byte[SHORT_BUFFER]);
    }

    /** Puts the right Le into an object that has just read the command. */
    static void correctLe(APDU apdu, ApduCase form, byte[] command) {
        if (form != ApduCase.Case2Extended && form != ApduCase.Case4Extended) {
            return;
        }
        int last = command.length - FIELD;
        int expected = (command[last] & 0xFF) << 8 | command[last + 1] & 0xFF;
        ((short[]) Hooks.get(RAM_VARS, apdu))[LE] =
                expected == 0 || expected > Short.MAX_VALUE ? Short.MAX_VALUE : (short) expected;
    }
}
