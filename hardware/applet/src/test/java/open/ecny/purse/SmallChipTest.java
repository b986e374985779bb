package open.ecny.purse;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import javacard.framework.ISOException;
import open.ecny.runtime.Chip;
import org.junit.jupiter.api.Test;

/** A chip that could not commit the longest grant is found out by its card maker, not by whoever has money on it. */
class SmallChipTest {
    private static final Hex HEX = new Hex();
    private static final String AID = "F045434E595701";

    private static Chip chip(int commitCapacity) {
        String factory = "0123456789ABCDEF" + "03" + "00" + "01" + "11".repeat(32);
        byte[] parameters = HEX.parse("07" + AID + "00" + "2B" + factory);
        return new Chip("open.ecny.purse.PurseApplet", HEX.parse(AID), parameters, commitCapacity);
    }

    @Test
    void itIsNotInstalledWhereItsStateCannotBeCommitted() {
        Throwable refused = assertThrows(IllegalArgumentException.class, () -> chip(State.SIZE - 1)).getCause();
        assertEquals(0x6985, ((ISOException) refused).getReason() & 0xFFFF);
        assertEquals(State.SIZE, chip(State.SIZE).report().commitCapacity);
    }
}
