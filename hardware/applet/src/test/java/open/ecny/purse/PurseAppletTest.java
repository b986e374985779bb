package open.ecny.purse;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import open.ecny.runtime.Chip;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A card as it leaves the factory, on the simulated chip: selection, chains, lengths, memory. */
class PurseAppletTest {
    private static final Hex HEX = new Hex();
    private static final String AID = "F045434E595701";
    private static final String SERIAL = "0123456789ABCDEF";
    private static final String SELECT = "00A4040007" + AID + "00";

    private static Chip chip;

    @BeforeAll
    static void install() {
        String factory = SERIAL + "03" + "00" + "01" + "11".repeat(32);
        byte[] parameters = HEX.parse("07" + AID + "00" + "2B" + factory);
        chip = new Chip("open.ecny.purse.PurseApplet", HEX.parse(AID), parameters, Chip.COMMIT_CAPACITY);
    }

    @BeforeEach
    void tap() {
        chip.powerOn();
    }

    private static String send(String command) {
        return HEX.format(chip.transmit(HEX.parse(command)));
    }

    private static void answers(String word, String... commands) {
        for (String command : commands) {
            String answer = send(command);
            assertEquals(word, answer.substring(answer.length() - 4), command);
        }
    }

    @Test
    void beforeItIsSelectedOnlySelectIsKnown() {
        answers("6D00", "00CADF0400", "80320000", "00C0000000", "00A5040000");
        answers("6A82", "00A4040007F045434E59570200", "00A4040006F045434E5957");
        answers("6A86", "00A4000007" + AID);
        answers("6700", "00A4040011" + "00".repeat(17));
        answers("9000", SELECT, "00CADF0400");
    }

    @Test
    void aBlankCardSaysSo() {
        String fci = send(SELECT);
        assertEquals("6F638407" + AID + "A558C00100C120" + "00".repeat(32), fci.substring(0, 100));
        assertEquals(
                "C20400000001C30400000001C40400000001C5080000000000000000C6021008C70103C80400000000C9080000000000000000"
                        + "9000",
                fci.substring(100));
        assertEquals(SERIAL + "9000", send("00CADF0400"));
        answers("6A88", "00CA7F2100", "00CADF0100", "00CA000000");
        answers("6985", "803E000000", "80320000" + "8A" + "00".repeat(138), "0020000108241234FFFFFFFFFF");
    }

    @Test
    void classBytesHaveTheirWords() {
        send(SELECT);
        answers("6E00", "A032000000", "2032000000", "FFFFFFFF");
        answers("6881", "40CADF0400", "01CADF0400", "8332000000");
        answers("6882", "08CADF0400", "8832000000", "8432000000", "80E6090900");
        answers("6884", "10CADF0400");
        answers("6D00", "00320000", "80CADF04");
    }

    @Test
    void aRestIsFetchedInPartsAndDroppedByAnyOtherCommand() {
        send(SELECT);
        assertEquals("01236106", send("00CADF0402"));
        assertEquals("456105", send("00C0000001"));
        answers("6A86", "00C0010000");
        answers("6700", "00C00000", "00C00000010000");
        assertEquals("6789ABCDEF9000", send("00C0000000"));
        answers("6985", "00C0000000");
        answers("6108", "00CADF04");
        answers("6D00", "80010000");
        answers("6985", "00C0000000");
    }

    @Test
    void aChainIsOneCommandAndAnotherHeaderEndsIt() {
        send(SELECT);
        String half = "40" + "00".repeat(64);
        answers("9000", "90320000" + half, "90320000" + half);
        answers("6985", "803200000A" + "00".repeat(10)); // 138 bytes: heard, and refused for its life cycle
        answers("6700", "803200000A" + "00".repeat(10)); // alone
        answers("9000", "90320000" + half);
        answers("9000", "00CADF0400");
        answers("6700", "803200004A" + "00".repeat(74));
    }

    @Test
    void aChainMayNotBeLongerThanAnyCommand() {
        send(SELECT);
        String piece = "9034000000" + "0400" + "00".repeat(1024);
        answers("9000", piece, piece, piece, piece);
        answers("6700", piece);
        answers("6700", "80340000");
    }

    @Test
    void itFitsOnAChip() {
        send(SELECT);
        Chip.Report report = chip.report();
        assertEquals(0, report.allocations);
        assertTrue(report.persistentBytes <= 16 * 1024, "persistent: " + report.persistentBytes);
        int transientBytes = report.transientResetBytes + report.transientDeselectBytes;
        assertTrue(transientBytes <= 2560, "transient: " + transientBytes);
    }
}
