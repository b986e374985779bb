package open.ecny.purse;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import javacard.framework.ISOException;
import org.junit.jupiter.api.Test;

/** What is said of a command before any handler sees it, and in which order. */
class CommandsTest {
    private static byte find(int cla, int ins, int p1, int p2, int length) {
        return Commands.find((byte) cla, (byte) ins, (byte) p1, (byte) p2, (short) length);
    }

    private static int refused(int cla, int ins, int p1, int p2, int length) {
        return assertThrows(ISOException.class, () -> find(cla, ins, p1, p2, length)).getReason() & 0xFFFF;
    }

    private static int checked(byte command, boolean secured, byte lifecycle) {
        try {
            Commands.check(command, secured, lifecycle);
            return 0x9000;
        } catch (ISOException refused) {
            return refused.getReason() & 0xFFFF;
        }
    }

    @Test
    void insComesBeforeParametersAndParametersBeforeLength() {
        assertEquals(0x6D00, refused(0x80, 0x33, 9, 9, 1));
        assertEquals(0x6D00, refused(0x00, 0x32, 0, 0, 138)); // PAY under the class byte of ISO 7816-4
        assertEquals(0x6A86, refused(0x80, 0x32, 2, 0, 1));
        assertEquals(0x6700, refused(0x80, 0x32, 0, 0, 137));
        assertEquals(Commands.PAY, find(0x80, 0x32, 0, 0, 138));
        assertEquals(Commands.PAY_VERIFIED, find(0x80, 0x32, 1, 0, 667));
    }

    @Test
    void anObjectThatIsNoneIsAWrongParameter() {
        assertEquals(0x6A86, refused(0x80, 0xE2, 7, 0, 1));
        assertEquals(0x6A86, refused(0x80, 0xE2, 0, 0, 1));
        assertEquals(0x6700, refused(0x80, 0xE2, 5, 0, 9));
        assertEquals(Commands.STORE_DATA, find(0x80, 0xE2, 5, 0, 8));
        assertEquals(Commands.STORE_POLICY, find(0x80, 0xE2, 4, 0, 205));
    }

    @Test
    void someParametersAreNumbers() {
        assertEquals(Commands.RESEND_BY_PAYEE, find(0x80, 0x38, 1, 0xFF, 32));
        assertEquals(Commands.RESEND_ANY, find(0x80, 0x38, 2, 15, 0));
        assertEquals(0x6A86, refused(0x80, 0x38, 0, 1, 32));
        assertEquals(Commands.GET_DATA, find(0x00, 0xCA, 0xDF, 0x02, 0));
    }

    @Test
    void theWayComesBeforeTheLifeCycle() {
        assertEquals(0x6882, checked(Commands.PAY, true, State.BLANK));
        assertEquals(0x6985, checked(Commands.PAY, false, State.BLANK));
        assertEquals(0x9000, checked(Commands.PAY, false, State.BLOCKED)); // it answers what is stored
        assertEquals(0x6882, checked(Commands.TERMINATE, false, State.TERMINATED));
        assertEquals(0x9000, checked(Commands.TERMINATE, true, State.TERMINATED));
        assertEquals(0x6985, checked(Commands.STORE_DATA, true, State.PERSONALISED));
    }

    @Test
    void aPolicyNeedsNoChannelOnAnActivePurseOnly() {
        assertEquals(0x9000, checked(Commands.STORE_POLICY, false, State.ACTIVE));
        assertEquals(0x9000, checked(Commands.STORE_POLICY, true, State.ACTIVE));
        assertEquals(0x6882, checked(Commands.STORE_POLICY, false, State.BLOCKED));
        assertEquals(0x6985, checked(Commands.STORE_POLICY, true, State.TERMINATED));
        assertFalse(Commands.wantsChannel((byte) 0x80, (byte) 0xE2, (byte) 4, (byte) 0));
        assertTrue(Commands.wantsChannel((byte) 0x80, (byte) 0xE2, (byte) 4, (byte) 1));
        assertTrue(Commands.wantsChannel((byte) 0x80, (byte) 0xE6, (byte) 9, (byte) 9));
        assertFalse(Commands.wantsChannel((byte) 0x80, (byte) 0x32, (byte) 0, (byte) 0));
    }
}
