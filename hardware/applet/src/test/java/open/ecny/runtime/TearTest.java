package open.ecny.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** A cut at every persistent write: the applet that commits passes, its sister that does not must be found out. */
class TearTest {
    private static final byte[] MOVE = {(byte) 0x80, 0x10, 100, 0, 0};
    private static final byte[] READ = {(byte) 0x80, 0x11, 0, 0, 0};

    /** What the card shows after a cut at each write, and at last after none. */
    private static List<String> seen(String applet) {
        Chip chip = ChipTest.chip(applet, Chip.COMMIT_CAPACITY);
        byte[] before = chip.content();
        List<String> seen = new ArrayList<>();
        boolean torn = true;
        for (int n = 1; torn; n++) {
            chip.load(before);
            chip.powerOn();
            chip.tearAtWrite(n);
            try {
                chip.transmit(MOVE);
                torn = false;
                chip.forgetTears();
            } catch (PowerLost cut) {
                torn = true;
            }
            chip.powerOn();
            byte[] shown = chip.transmit(READ);
            int from = (shown[0] & 0xFF) << 8 | shown[1] & 0xFF;
            int to = (shown[2] & 0xFF) << 8 | shown[3] & 0xFF;
            seen.add(from + "+" + to + ", journal " + shown[4] + ".." + shown[5]);
        }
        return seen;
    }

    @Test
    void theAtomicAppletIsBeforeOrAfter() {
        List<String> seen = seen("AtomicTransfer");
        assertEquals(5, seen.size(), "four writes: two balances, the journal, the commit");
        for (int i = 0; i < seen.size() - 1; i++) {
            assertEquals("1000+0, journal 0..0", seen.get(i));
        }
        assertEquals("900+100, journal 100..100", seen.get(seen.size() - 1));
    }

    @Test
    void itsSisterIsNeither() {
        List<String> seen = seen("TornTransfer");
        assertEquals(7, seen.size(), "two balances and four blocks of the journal");
        assertTrue(seen.contains("900+0, journal 100..0"), "a torn copy");
        assertTrue(seen.contains("900+0, journal 100..100"), "the money is nowhere");
        assertEquals("900+100, journal 100..100", seen.get(seen.size() - 1));
    }
}
