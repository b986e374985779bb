package open.ecny.runtime.applets;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.OwnerPIN;
import javacard.framework.TransactionException;
import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;
import javacard.security.MessageDigest;
import javacard.security.RandomData;
import javacardx.crypto.Cipher;

/** One INS for each promise of the runtime; each answers one short. */
public final class Trials extends Applet {
    private static short counter;

    private final byte[] bytes = new byte[300];
    private final short[] shorts = new short[4];
    private final boolean[] flags = new boolean[2];
    private final Object[] references = new Object[1];
    private final byte[] onReset = JCSystem.makeTransientByteArray((short) 2, JCSystem.CLEAR_ON_RESET);
    private final byte[] onDeselect = JCSystem.makeTransientByteArray((short) 2, JCSystem.CLEAR_ON_DESELECT);
    private final OwnerPIN pin = new OwnerPIN((byte) 3, (byte) 4);
    private final AESKey key = (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES, KeyBuilder.LENGTH_AES_128, false);
    private final AESKey session =
            (AESKey) KeyBuilder.buildKey(KeyBuilder.TYPE_AES_TRANSIENT_RESET, KeyBuilder.LENGTH_AES_128, false);
    private final Cipher cipher = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_ECB_NOPAD, false);
    private final MessageDigest digest = MessageDigest.getInstance(MessageDigest.ALG_SHA_256, false);
    private final RandomData random = RandomData.getInstance(RandomData.ALG_KEYGENERATION);
    private final byte[] scratch = JCSystem.makeTransientByteArray((short) 300, JCSystem.CLEAR_ON_RESET);
    private short value;

    public static void install(byte[] array, short offset, byte length) {
        new Trials().register();
    }

    private Trials() {
        key.setKey(bytes, (short) 0);
        pin.update(bytes, (short) 0, (byte) 4);
    }

    @Override
    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        short answer = run(buffer[ISO7816.OFFSET_INS], (short) (buffer[ISO7816.OFFSET_P1] & 0xFF));
        Util.setShort(buffer, (short) 0, answer);
        apdu.setOutgoingAndSend((short) 0, (short) 2);
    }

    private short run(byte ins, short p1) {
        switch (ins) {
            case 0x10:
                writeEverything(p1);
                return value;
            case 0x11:
                JCSystem.beginTransaction();
                writeEverything(p1);
                JCSystem.abortTransaction();
                return value;
            case 0x12:
                JCSystem.beginTransaction();
                writeEverything(p1);
                return value; // and leaves it open
            case 0x13:
                JCSystem.beginTransaction();
                writeEverything(p1);
                ISOException.throwIt(ISO7816.SW_CONDITIONS_NOT_SATISFIED);
                return 0;
            case 0x14:
                return nested();
            case 0x15:
                return tooMuch();
            case 0x16:
                return JCSystem.getUnusedCommitCapacity();
            case 0x17:
                return (short) (new byte[2].length + shorts.length);
            case 0x18:
                short set = (short) ((flags[1] ? 1 : 0) + (references[0] == null ? 0 : 1));
                return (short) (value + counter + shorts[1] + bytes[0] + set);
            default:
                return objects(ins, p1);
        }
    }

    private short objects(byte ins, short p1) {
        switch (ins) {
            case 0x20:
                onReset[0] = onDeselect[0] = (byte) p1;
                return 0;
            case 0x21:
                return Util.makeShort(onReset[0], onDeselect[0]);
            case 0x22:
                Util.arrayFillNonAtomic(scratch, (short) 0, (short) 4, (byte) p1);
                return pin.check(scratch, (short) 0, (byte) 4) ? (short) 1 : (short) 0;
            case 0x23:
                return pin.getTriesRemaining();
            case 0x24:
                JCSystem.beginTransaction();
                Util.arrayFillNonAtomic(scratch, (short) 0, (short) 4, (byte) p1);
                pin.check(scratch, (short) 0, (byte) 4);
                JCSystem.abortTransaction();
                return pin.getTriesRemaining();
            case 0x25:
                JCSystem.beginTransaction();
                Util.arrayFillNonAtomic(scratch, (short) 0, (short) 16, (byte) p1);
                key.setKey(scratch, (short) 0);
                JCSystem.abortTransaction();
                return encrypted();
            case 0x26:
                return encrypted();
            case 0x27:
                Util.arrayFillNonAtomic(scratch, (short) 0, (short) 16, (byte) p1);
                session.setKey(scratch, (short) 0);
                return 0;
            case 0x28:
                return session.isInitialized() ? (short) 1 : (short) 0;
            case 0x29:
                JCSystem.beginTransaction();
                digest.doFinal(scratch, (short) 0, (short) 0, bytes, (short) 100);
                JCSystem.abortTransaction();
                return Util.getShort(bytes, (short) 100);
            case 0x2A:
                random.nextBytes(scratch, (short) 0, (short) 2);
                return Util.getShort(scratch, (short) 0);
            case 0x2B:
                Util.arrayFillNonAtomic(bytes, (short) 0, (short) 300, (byte) p1);
                return 0;
            case 0x2C:
                return (short) (bytes[0] + bytes[31] + bytes[32] + bytes[299]);
            case 0x2D:
                return shorts[p1];
            default:
                ISOException.throwIt(ISO7816.SW_INS_NOT_SUPPORTED);
                return 0;
        }
    }

    private void writeEverything(short p1) {
        value = p1;
        counter = p1;
        shorts[1] = p1;
        bytes[0] = (byte) p1;
        flags[1] = p1 != 0;
        references[0] = p1 == 0 ? null : this;
        Util.setShort(bytes, (short) 1, p1);
        Util.arrayFillNonAtomic(scratch, (short) 0, (short) 8, (byte) p1);
        Util.arrayCopy(scratch, (short) 0, bytes, (short) 3, (short) 8);
    }

    private static short nested() {
        JCSystem.beginTransaction();
        try {
            JCSystem.beginTransaction();
        } catch (TransactionException refused) {
            return (short) (refused.getReason() * 16 + JCSystem.getTransactionDepth());
        }
        return 0;
    }

    private short tooMuch() {
        short before = value;
        JCSystem.beginTransaction();
        try {
            value = (short) (before + 1);
            Util.arrayCopy(scratch, (short) 0, bytes, (short) 0, (short) 300);
        } catch (TransactionException full) {
            JCSystem.abortTransaction();
            return (short) (full.getReason() * 16 + (value == before ? 1 : 0));
        }
        JCSystem.commitTransaction();
        return 0;
    }

    private short encrypted() {
        Util.arrayFillNonAtomic(scratch, (short) 0, (short) 16, (byte) 0);
        cipher.init(key, Cipher.MODE_ENCRYPT);
        cipher.doFinal(scratch, (short) 0, (short) 16, scratch, (short) 32);
        return Util.getShort(scratch, (short) 32);
    }
}
