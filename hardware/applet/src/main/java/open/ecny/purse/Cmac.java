package open.ecny.purse;

import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.AESKey;
import javacardx.crypto.Cipher;

/**
 * AES-CMAC (NIST SP 800-38B) over data that comes in pieces, built on the one-block cipher that every chip has.
 *
 * <p>{@code begin}, any number of {@code update}, {@code finish}. All that it remembers between them is transient. The
 * signature algorithm ALG_AES_CMAC_128 would do the same, but only cards of Java Card 3.0.5 know it, and few do.
 */
final class Cmac {
    /** Bytes of a block, of a key and of the whole MAC. */
    static final short BLOCK = 16;

    private static final byte RB = (byte) 0x87; // SP 800-38B, clause 5.3: the polynomial for blocks of 128 bits
    private static final short CHAIN = 0;
    private static final short SUBKEY = 16;
    private static final short FILL = 32;
    private static final short SIZE = 33;

    private final Cipher cipher;
    private final byte[] ram;

    /** {@code cipher} is AES in ECB mode without padding; whoever shares it initialises it again after use here. */
    Cmac(Cipher cipher) {
        this.cipher = cipher;
        ram = JCSystem.makeTransientByteArray(SIZE, JCSystem.CLEAR_ON_DESELECT);
    }

    /** Starts a MAC under {@code key}; a MAC that was not finished is forgotten. */
    void begin(AESKey key) {
        cipher.init(key, Cipher.MODE_ENCRYPT);
        Util.arrayFillNonAtomic(ram, (short) 0, SIZE, (byte) 0);
    }

    /** Takes {@code length} more bytes. The last block waits, because only {@code finish} knows that it is the last. */
    void update(byte[] data, short at, short length) {
        short fill = ram[FILL];
        for (short end = (short) (at + length); at < end; at++) {
            if (fill == BLOCK) {
                cipher.doFinal(ram, CHAIN, BLOCK, ram, CHAIN);
                fill = 0;
            }
            ram[(short) (CHAIN + fill)] ^= data[at];
            fill++;
        }
        ram[FILL] = (byte) fill;
    }

    /** Writes the 16 bytes of the MAC to {@code out} and forgets what led to them. */
    void finish(byte[] out, short outAt) {
        short fill = ram[FILL];
        cipher.doFinal(ram, SUBKEY, BLOCK, ram, SUBKEY); // of zeros: what the subkeys come from
        doubleSubkey();
        if (fill < BLOCK) {
            ram[(short) (CHAIN + fill)] ^= (byte) 0x80;
            doubleSubkey();
        }
        for (short i = 0; i < BLOCK; i++) {
            ram[(short) (CHAIN + i)] ^= ram[(short) (SUBKEY + i)];
        }
        cipher.doFinal(ram, CHAIN, BLOCK, out, outAt);
        Util.arrayFillNonAtomic(ram, (short) 0, SIZE, (byte) 0);
    }

    /** Multiplies the subkey by x in GF(2^128), without a branch on its bits. */
    private void doubleSubkey() {
        byte top = (byte) (ram[SUBKEY] >> 7); // 00 or FF
        for (short i = SUBKEY; i < (short) (SUBKEY + BLOCK - 1); i++) {
            ram[i] = (byte) ((ram[i] << 1) | ((ram[(short) (i + 1)] >> 7) & 1));
        }
        short last = (short) (SUBKEY + BLOCK - 1);
        ram[last] = (byte) ((ram[last] << 1) ^ (top & RB));
    }
}
