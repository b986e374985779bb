package open.ecny.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.UncheckedIOException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The promises of a chip, one by one, on an applet that asks for each. */
class ChipTest {
    private static final byte[] AID = {(byte) 0xF0, 1, 2, 3, 4, 5};
    private static final int CAPACITY = 256;
    private static final int ALL_READ = 0x18;

    private Chip chip;

    static Chip chip(String applet, int capacity) {
        byte[] parameters = {6, (byte) 0xF0, 1, 2, 3, 4, 5, 0, 0};
        return new Chip("open.ecny.runtime.applets." + applet, AID, parameters, capacity);
    }

    @BeforeEach
    void installed() {
        chip = chip("Trials", CAPACITY);
        chip.powerOn();
    }

    /** Status word; the short that came before it is kept. */
    private int word(int ins, int p1) {
        byte[] answer = chip.transmit(new byte[] {(byte) 0x80, (byte) ins, (byte) p1, 0, 0});
        return (answer[answer.length - 2] & 0xFF) << 8 | answer[answer.length - 1] & 0xFF;
    }

    private int ask(int ins, int p1) {
        byte[] answer = chip.transmit(new byte[] {(byte) 0x80, (byte) ins, (byte) p1, 0, 0});
        assertEquals(4, answer.length);
        return (answer[0] & 0xFF) << 8 | answer[1] & 0xFF;
    }

    private void tap() {
        chip.powerOff();
        chip.powerOn();
    }

    private void select() {
        byte[] command = {0, (byte) 0xA4, 4, 0, 6, (byte) 0xF0, 1, 2, 3, 4, 5};
        assertArrayEquals(new byte[] {(byte) 0x90, 0}, chip.transmit(command));
    }

    // Transactions

    @Test
    void whatIsWrittenStays() {
        ask(0x10, 5);
        tap();
        assertEquals(4 * 5 + 2, ask(ALL_READ, 0));
    }

    @Test
    void anAbortUndoesEveryKindOfWrite() {
        byte[] before = chip.content();
        assertEquals(0, ask(0x11, 5));
        assertArrayEquals(before, chip.content());
        ask(0x10, 3);
        before = chip.content();
        assertEquals(3, ask(0x11, 9));
        assertArrayEquals(before, chip.content());
    }

    @Test
    void aTransactionThatIsLeftOpenNeverWas() {
        byte[] before = chip.content();
        assertEquals(5, ask(0x12, 5));
        assertArrayEquals(before, chip.content());
        assertEquals(0x6985, word(0x13, 5));
        assertArrayEquals(before, chip.content());
        assertEquals(CAPACITY, ask(0x16, 0));
    }

    @Test
    void transactionsDoNotNest() {
        assertEquals(1 * 16 + 1, ask(0x14, 0)); // IN_PROGRESS, and the first one still is
    }

    @Test
    void theCommitBufferIsFinite() {
        assertEquals(3 * 16 + 1, ask(0x15, 0)); // BUFFER_FULL, and the abort undid what was before it
        Chip large = chip("Trials", 512);
        large.powerOn();
        byte[] answer = large.transmit(new byte[] {(byte) 0x80, 0x15, 0, 0, 0});
        assertArrayEquals(new byte[] {0, 0, (byte) 0x90, 0}, answer);
        assertEquals(2 + 4 + 300 + 4, large.report().commitHighWater);
    }

    // Power

    @ParameterizedTest
    @ValueSource(ints = {0x11, 0x12})
    void aCutInATransactionUndoesIt(int ins) {
        byte[] before = chip.content();
        int cuts = 0;
        for (int n = 1; n < 20; n++) {
            chip.powerOn();
            chip.tearAtWrite(n);
            try {
                word(ins, 7);
                chip.forgetTears();
            } catch (PowerLost torn) {
                cuts++;
            }
            assertArrayEquals(before, chip.content());
        }
        assertEquals(8, cuts, "eight writes, none of them committed");
    }

    @Test
    void aNonAtomicFillStopsInTheMiddle() {
        chip.tearAtWrite(1);
        assertThrows(PowerLost.class, () -> word(0x2B, 1));
        chip.powerOn();
        assertEquals(2, ask(0x2C, 0), "bytes 0 and 31 of the first block are new, 32 and 299 old");
        chip.tearAtWrite(5);
        assertThrows(PowerLost.class, () -> word(0x2B, 1));
        chip.powerOn();
        assertEquals(3, ask(0x2C, 0), "all but the half of the last block");
    }

    @Test
    void aCardWithoutPowerAnswersNothing() {
        chip.powerOff();
        assertThrows(PowerLost.class, () -> word(ALL_READ, 0));
    }

    @Test
    void aTearBeforeTheAnswerLeavesWhatWasDone() {
        chip.tearBeforeAnswer(2);
        ask(ALL_READ, 0);
        assertThrows(PowerLost.class, () -> word(0x10, 5));
        chip.powerOn();
        assertEquals(4 * 5 + 2, ask(ALL_READ, 0));
    }

    @Test
    void transientMemoryGoesWithItsEvent() {
        ask(0x20, 7);
        assertEquals(0x0707, ask(0x21, 0));
        select();
        assertEquals(0x0700, ask(0x21, 0));
        ask(0x20, 7);
        tap();
        assertEquals(0, ask(0x21, 0));
    }

    @Test
    void aTransientKeyIsGoneAfterReset() {
        ask(0x27, 7);
        assertEquals(1, ask(0x28, 0));
        tap();
        assertEquals(0, ask(0x28, 0));
    }

    // Objects of the API

    @Test
    void aTryIsUsedUpBeforeTheComparison() {
        chip.tearAtWrite(2); // the right PIN: counter down, then up again
        assertThrows(PowerLost.class, () -> word(0x22, 0));
        chip.powerOn();
        assertEquals(2, ask(0x23, 0));
        assertEquals(1, ask(0x22, 0));
        assertEquals(3, ask(0x23, 0));
    }

    @Test
    void noTransactionGivesATryBack() {
        assertEquals(2, ask(0x24, 1));
    }

    @Test
    void aKeyTakesPartInATransaction() {
        int before = ask(0x26, 0);
        assertEquals(before, ask(0x25, 9));
        tap();
        assertEquals(before, ask(0x26, 0));
    }

    @Test
    void whatTheApiWritesIntoAnArrayIsSeenAndNotUndone() {
        long writes = chip.writes();
        assertEquals(0xE3B0, ask(0x29, 0)); // SHA-256 of nothing
        assertEquals(writes + 1, chip.writes());
    }

    @Test
    void randomnessIsDrawnOrReplayed() {
        RandomSource.replay("a", 1);
        int first = ask(0x2A, 0);
        int second = ask(0x2A, 0);
        RandomSource.replay("a", 1);
        assertEquals(first, ask(0x2A, 0));
        assertEquals(second, ask(0x2A, 0));
        RandomSource.replay("a", 2);
        assertNotEquals(first, ask(0x2A, 0));
        RandomSource.useMachine();
    }

    // Content and figures

    @Test
    void aSnapshotIsTheWholeCard() {
        ask(0x10, 5);
        byte[] snapshot = chip.content();
        ask(0x10, 6);
        ask(0x22, 1);
        chip.load(snapshot);
        assertArrayEquals(snapshot, chip.content());
        chip.powerOn();
        assertEquals(3, ask(0x23, 0));
        Chip other = chip("Trials", CAPACITY);
        other.load(snapshot);
        assertArrayEquals(snapshot, other.content());
        assertArrayEquals(chip.fingerprint(), other.fingerprint());
        assertThrows(UncheckedIOException.class, () -> chip.load(new byte[3]));
        assertThrows(UncheckedIOException.class, () -> other.load(new byte[snapshot.length + 1]));
    }

    @Test
    void twoCardsShareNothing() {
        ask(0x10, 5);
        Chip other = chip("Trials", CAPACITY);
        other.powerOn();
        assertArrayEquals(
                new byte[] {0, 0, (byte) 0x90, 0}, other.transmit(new byte[] {(byte) 0x80, ALL_READ, 0, 0, 0}));
    }

    @Test
    void anAllocationAfterInstallationIsCounted() {
        assertEquals(0, chip.report().allocations);
        assertEquals(6, ask(0x17, 0));
        assertEquals(1, chip.report().allocations);
    }

    @Test
    void memoryIsCountedInBytes() {
        Chip.Report report = chip.report();
        int fields = 2 + 13 * 2 + 2; // value, references to the others, the static counter
        assertEquals(fields + 300 + 8 + 2 + 2 + 16 + (4 + 2), report.persistentBytes);
        assertEquals(2 + 300 + 16, report.transientResetBytes);
        assertEquals(2, report.transientDeselectBytes);
    }

    @Test
    void anExceptionIsSixF00AndCanBeLookedUp() {
        assertEquals(0x6F00, word(0x2D, 9));
        assertTrue(chip.lastError() instanceof ArrayIndexOutOfBoundsException);
        assertEquals(0x9000, word(0x2D, 0));
        assertEquals(null, chip.lastError());
        assertEquals(0x6D00, word(0x7F, 0));
        assertFalse(chip.lastError() instanceof RuntimeException);
    }

    @Test
    void malformedCommandsNeverReachTheApplet() {
        assertArrayEquals(new byte[] {0x67, 0}, chip.transmit(new byte[] {0, 0x10, 0, 0, 5, 1}));
        assertArrayEquals(new byte[] {0x67, 0}, chip.transmit(new byte[] {0, 0x10}));
    }

    @Test
    void whatIsNoJavaCardIsRefused() {
        for (String name : new String[] {"Text", "Wide", "Lambda"}) {
            assertThrows(NotJavaCard.class, () -> chip(name, CAPACITY), name);
        }
    }
}
