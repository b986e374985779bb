package open.ecny.purse;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Field;
import javacard.security.ECPublicKey;
import open.ecny.runtime.Chip;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * The key object through which foreign keys pass is persistent. A chip may leave it without a value when its writing is
 * torn, or when it refuses a point: that must never keep a card with money on it from being selected.
 */
class ScratchKeyTest {
    private static final Hex HEX = new Hex();
    private static final String AID = "F045434E595701";
    private static final String SELECT = "00A4040007" + AID + "00";

    private Chip chip;
    private ECPublicKey peer;

    @BeforeEach
    void install() throws ReflectiveOperationException {
        String factory = "0123456789ABCDEF" + "03" + "00" + "01" + "11".repeat(32);
        byte[] parameters = HEX.parse("07" + AID + "00" + "2B" + factory);
        chip = new Chip("open.ecny.purse.PurseApplet", HEX.parse(AID), parameters, Chip.COMMIT_CAPACITY);
        chip.powerOn();
        peer = (ECPublicKey) field(field(applet(), "ecdsa"), "peer");
    }

    /** The runtime's way to the applet; its classes are of a loader of their own. */
    private Object applet() throws ReflectiveOperationException {
        return field(field(chip, "runtime"), "applet");
    }

    private static Object field(Object object, String name) throws ReflectiveOperationException {
        Field field = object.getClass().getDeclaredField(name);
        field.setAccessible(true);
        return field.get(object);
    }

    private String select() {
        String answer = HEX.format(chip.transmit(HEX.parse(SELECT)));
        return answer.substring(answer.length() - 4);
    }

    private void isBasePoint() {
        assertTrue(peer.isInitialized());
        byte[] point = new byte[Layout.POINT];
        peer.getW(point, (short) 0);
        assertArrayEquals(Curve.G, point);
    }

    @Test
    void aKeyWithoutAValueIsMadeAnew() {
        peer.clearKey();
        assertFalse(peer.isInitialized());
        assertEquals("9000", select());
        isBasePoint();
    }

    @Test
    void aForeignKeyIsTakenOut() {
        byte[] point = Curve.G.clone();
        point[64]++;
        peer.setW(point, (short) 0, Layout.POINT);
        assertEquals("9000", select());
        isBasePoint();
    }

    @Test
    void aKeyThatIsRightIsNotWritten() {
        long writes = chip.writes();
        assertEquals("9000", select());
        assertEquals(writes, chip.writes());
    }
}
