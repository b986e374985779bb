package open.ecny.purse;

import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;
import javacard.security.RandomData;
import javacardx.crypto.Cipher;

/**
 * The sealed audit block of a Voucher: nonce 12, n 4, totals in, out, reversed and the exposure, 8 each; AES-128-CBC
 * under the card's audit key with a zero initial vector (docs/spec/messages.cddl). The Voucher's signature covers it.
 */
final class Audit {
    private static final short N = 12;
    private static final short IN = 16;
    private static final short OUT = 24;
    private static final short REVERSED = 32;
    private static final short EXPOSURE = 40;

    private final Memory memory;
    private final RandomData random;
    private final AESKey key = (AESKey)
            KeyBuilder.buildKey(KeyBuilder.TYPE_AES_TRANSIENT_DESELECT, KeyBuilder.LENGTH_AES_128, false);
    private final Cipher cipher = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_CBC_NOPAD, false);

    Audit(Memory memory, RandomData random) {
        this.memory = memory;
        this.random = random;
    }

    /**
     * Writes the block of payment {@code n}, 48 bytes, with the totals of the state's image: those after the payment.
     */
    void seal(byte[] n, short nAt, byte[] to, short at) {
        byte[] now = memory.state.now;
        random.generateData(to, at, Layout.AUDIT_NONCE);
        Util.arrayCopyNonAtomic(n, nAt, to, (short) (at + N), Bytes.COUNTER);
        Util.arrayCopyNonAtomic(now, State.IN, to, (short) (at + IN), Bytes.AMOUNT);
        Util.arrayCopyNonAtomic(now, State.OUT, to, (short) (at + OUT), Bytes.AMOUNT);
        Util.arrayCopyNonAtomic(now, State.REVERSED, to, (short) (at + REVERSED), Bytes.AMOUNT);
        Bytes.subtract(now, State.OUT, now, State.OUT_ACKED, to, (short) (at + EXPOSURE), Bytes.AMOUNT);
        key.setKey(memory.objects.get(Objects.AUDIT_KEY), (short) 0);
        cipher.init(key, Cipher.MODE_ENCRYPT);
        cipher.doFinal(to, at, Layout.AUDIT, to, at);
        key.clearKey();
    }
}
