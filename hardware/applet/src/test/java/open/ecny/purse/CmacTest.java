package open.ecny.purse;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.licel.jcardsim.base.Simulator;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;
import javacardx.crypto.Cipher;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** AES-CMAC against the examples of SP 800-38B, appendix D.1, in one piece and in many. */
class CmacTest {
    private static final Hex HEX = new Hex();
    private static final byte[] MESSAGE = HEX.parse(
            "6BC1BEE22E409F96E93D7E117393172AAE2D8A571E03AC9C9EB76FAC45AF8E51"
                    + "30C81C46A35CE411E5FBC1191A0A52EFF69F2445DF4F9B17AD2B417BE66C3710");
    private static final int[] SIZES = {0, 16, 40, 64};
    private static final String[] MACS = {
        "BB1D6929E95937287FA37D129B756746",
        "070A16B46B4D4144F79BDD9DD04A287C",
        "DFA66747DE9AE63030CA32611497C827",
        "51F0BEBF7E3B9D92FC49741779363CFE",
    };

    private static Cmac cmac;
    private static AESKey key;

    @BeforeAll
    static void make() {
        new Simulator(); // whose memory transient arrays come from
        cmac = new Cmac(Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_ECB_NOPAD, false));
        key = (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES, KeyBuilder.LENGTH_AES_128, false);
        key.setKey(HEX.parse("2B7E151628AED2A6ABF7158809CF4F3C"), (short) 0);
    }

    private static String mac(int size, int piece) {
        byte[] mac = new byte[Cmac.BLOCK];
        cmac.begin(key);
        for (int at = 0; at < size; at += piece) {
            cmac.update(MESSAGE, (short) at, (short) Math.min(piece, size - at));
        }
        cmac.finish(mac, (short) 0);
        return HEX.format(mac);
    }

    @Test
    void theExamplesOfTheStandard() {
        for (int i = 0; i < SIZES.length; i++) {
            assertEquals(MACS[i], mac(SIZES[i], MESSAGE.length));
        }
    }

    @Test
    void piecesOfAnySizeAreTheSameMessage() {
        for (int i = 0; i < SIZES.length; i++) {
            for (int piece = 1; piece <= MESSAGE.length; piece++) {
                assertEquals(MACS[i], mac(SIZES[i], piece), SIZES[i] + " bytes by " + piece);
            }
        }
    }

    @Test
    void aMacThatWasNotFinishedIsForgotten() {
        cmac.begin(key);
        cmac.update(MESSAGE, (short) 0, (short) 21);
        assertEquals(MACS[2], mac(SIZES[2], 7));
    }
}
