package open.ecny.purse;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.AESKey;
import javacard.security.KeyBuilder;
import javacard.security.RandomData;
import javacardx.crypto.Cipher;

/**
 * The card's end of GlobalPlatform SCP03 (Card Specification v2.3, Amendment D, version 1.1.2): AES-128, S8 mode, at
 * the one security level 33: C-MAC, command encryption, R-MAC and response encryption.
 *
 * <p>Clause numbers below are of Amendment D. The channel is opened by {@code initializeUpdate} and {@code
 * externalAuthenticate}; then each command goes through {@code unwrap} and each good answer through {@code wrap}, both
 * in place. Any wrong MAC, cryptogram or padding closes it for good. Session keys are transient key objects: they go
 * with the power and with the selection. The data field is given as it is before command chaining, so the C-MAC is
 * taken over the whole command (clause 6.2.4), with an Lc field of three bytes where data and MAC are more than 255.
 */
final class SecureChannel {
    /** Bytes that {@code initializeUpdate} answers. */
    static final short ANSWER_SIZE = 29;

    /** Bytes of C-MAC, R-MAC and cryptograms in S8 mode. */
    static final short MAC_SIZE = 8;

    /**
     * The most bytes that the data field of a wrapped command may have, C-MAC included; less than any buffer for it.
     */
    static final short LONGEST = 1024;

    private static final short BLOCK = Cmac.BLOCK;
    private static final short CHALLENGE_SIZE = 8;
    private static final short SERIAL_SIZE = 8;
    private static final short DIVERSIFICATION_SIZE = 10;
    private static final byte LEVEL = 0x33;
    private static final byte SCP03 = 0x03;
    private static final byte OPTIONS = 0x60; // parameter i (clause 5.1): random challenge, R-MAC, response encryption
    private static final byte SECURE_MESSAGING = 0x04;

    private static final byte CARD_CRYPTOGRAM = 0x00; // data derivation constants (table 4-1)
    private static final byte HOST_CRYPTOGRAM = 0x01;
    private static final byte S_ENC = 0x04;
    private static final byte S_MAC = 0x06;
    private static final byte S_RMAC = 0x07;

    private static final byte CLOSED = 0;
    private static final byte INITIALISED = 1;
    private static final byte OPEN = 2;

    // What is remembered while the applet is selected: offsets into ram.
    private static final short STATE = 0;
    private static final short CONTEXT = 1; // host challenge, card challenge
    private static final short CHAINING = 17; // the MAC chaining value (clause 6.2.3)
    private static final short COUNTER = 33; // the encryption counter, as the block that is encrypted (clause 6.2.6)
    private static final short CRYPTOGRAM = 49; // what EXTERNAL AUTHENTICATE must bring
    private static final short WORK = 57; // two blocks
    private static final short RAM_SIZE = 89;

    private final AESKey enc;
    private final AESKey mac;
    private final AESKey sessionEnc;
    private final AESKey sessionMac;
    private final AESKey sessionResponseMac;
    private final Cipher ecb;
    private final Cipher cbc;
    private final Cmac cmac;
    private final RandomData random;
    private final byte[] serial;
    private final byte version;
    private final byte[] ram;

    /**
     * Takes the card maker's transport keys. {@code serial}: the card's serial number (8 bytes), which this object
     * keeps a reference to; {@code encAt}, {@code macAt}: where 16 bytes of K-ENC and K-MAC lie in {@code keys}.
     */
    SecureChannel(byte[] serial, byte version, byte[] keys, short encAt, short macAt, RandomData random) {
        this.serial = serial;
        this.version = version;
        this.random = random;
        enc = aesKey(KeyBuilder.TYPE_AES);
        mac = aesKey(KeyBuilder.TYPE_AES);
        enc.setKey(keys, encAt);
        mac.setKey(keys, macAt);
        sessionEnc = aesKey(KeyBuilder.TYPE_AES_TRANSIENT_DESELECT);
        sessionMac = aesKey(KeyBuilder.TYPE_AES_TRANSIENT_DESELECT);
        sessionResponseMac = aesKey(KeyBuilder.TYPE_AES_TRANSIENT_DESELECT);
        ecb = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_ECB_NOPAD, false);
        cbc = Cipher.getInstance(Cipher.ALG_AES_BLOCK_128_CBC_NOPAD, false);
        cmac = new Cmac(ecb);
        ram = JCSystem.makeTransientByteArray(RAM_SIZE, JCSystem.CLEAR_ON_DESELECT);
    }

    private static AESKey aesKey(byte type) {
        return (AESKey) KeyBuilder.buildKey(type, KeyBuilder.LENGTH_AES_128, false);
    }

    /** Whether commands go through the channel now. */
    boolean isOpen() {
        return ram[STATE] == OPEN;
    }

    /** Ends the channel, or an opening that was begun, and forgets its keys. */
    void close() {
        if (ram[STATE] != CLOSED) {
            sessionEnc.clearKey();
            sessionMac.clearKey();
            sessionResponseMac.clearKey();
            Util.arrayFillNonAtomic(ram, (short) 0, RAM_SIZE, (byte) 0);
        }
    }

    /**
     * INITIALIZE UPDATE (clause 7.1.1): ends the channel that was open, and answers {@link #ANSWER_SIZE} bytes at
     * {@code outAt}: diversification data, key information, card challenge, card cryptogram. {@code out} may be {@code
     * data}.
     *
     * <p>Throws WRONG_LENGTH, then NOT_FOUND for another key version or identifier.
     */
    short initializeUpdate(byte p1, byte p2, byte[] data, short at, short length, byte[] out, short outAt) {
        close();
        short cardChallenge = (short) (CONTEXT + CHALLENGE_SIZE);
        draw(cardChallenge);
        if (length != CHALLENGE_SIZE) {
            ISOException.throwIt(Words.WRONG_LENGTH);
        }
        if ((p1 != 0 && p1 != version) || p2 != 0) {
            ISOException.throwIt(Words.NOT_FOUND);
        }
        Util.arrayCopyNonAtomic(data, at, ram, CONTEXT, CHALLENGE_SIZE);
        openSession();
        return answer(out, outAt, cardChallenge);
    }

    /** A fresh challenge; the method that Java Card 3.0.5 has in its place is not on cards of 3.0.4. */
    @SuppressWarnings("deprecation")
    private void draw(short at) {
        random.generateData(ram, at, CHALLENGE_SIZE);
    }

    private void openSession() {
        derive(enc, S_ENC, BLOCK);
        sessionEnc.setKey(ram, WORK);
        derive(mac, S_RMAC, BLOCK);
        sessionResponseMac.setKey(ram, WORK);
        derive(mac, S_MAC, BLOCK);
        sessionMac.setKey(ram, WORK);
        derive(sessionMac, HOST_CRYPTOGRAM, MAC_SIZE);
        Util.arrayCopyNonAtomic(ram, WORK, ram, CRYPTOGRAM, MAC_SIZE);
        derive(sessionMac, CARD_CRYPTOGRAM, MAC_SIZE); // stays in WORK for the answer
        Util.arrayFillNonAtomic(ram, CHAINING, BLOCK, (byte) 0);
        Util.arrayFillNonAtomic(ram, COUNTER, BLOCK, (byte) 0);
        ram[STATE] = INITIALISED;
    }

    private short answer(byte[] out, short outAt, short cardChallenge) {
        short at = Util.arrayCopyNonAtomic(serial, (short) 0, out, outAt, SERIAL_SIZE);
        at = Util.arrayFillNonAtomic(out, at, (short) (DIVERSIFICATION_SIZE - SERIAL_SIZE), (byte) 0);
        out[at++] = version;
        out[at++] = SCP03;
        out[at++] = OPTIONS;
        at = Util.arrayCopyNonAtomic(ram, cardChallenge, out, at, CHALLENGE_SIZE);
        at = Util.arrayCopyNonAtomic(ram, WORK, out, at, MAC_SIZE);
        Util.arrayFillNonAtomic(ram, WORK, (short) (2 * BLOCK), (byte) 0);
        return (short) (at - outAt);
    }

    /** KDF in counter mode with CMAC (clause 4.1.5; SP 800-108): one block, {@code size} bytes asked for, into WORK. */
    private void derive(AESKey key, byte constant, short size) {
        Util.arrayFillNonAtomic(ram, WORK, BLOCK, (byte) 0);
        ram[(short) (WORK + 11)] = constant;
        Util.setShort(ram, (short) (WORK + 13), (short) (size << 3)); // in bits, after a separator of 00
        ram[(short) (WORK + 15)] = 1;
        cmac.begin(key);
        cmac.update(ram, WORK, BLOCK);
        cmac.update(ram, CONTEXT, (short) (2 * CHALLENGE_SIZE));
        cmac.finish(ram, WORK);
    }

    /**
     * EXTERNAL AUTHENTICATE (clause 7.1.2), one try for each INITIALIZE UPDATE: opens the channel.
     *
     * <p>Throws WRONG_STATE when nothing was initialised (a channel that is open stays so); WRONG_P1P2 for any level
     * but 33, because without R-MAC whatever sits between host and card could answer in its place; WRONG_LENGTH;
     * SECURE_MESSAGING_WRONG when C-MAC or host cryptogram differ.
     */
    void externalAuthenticate(byte p1, byte p2, byte[] data, short at, short length) {
        if (ram[STATE] != INITIALISED) {
            ISOException.throwIt(Words.WRONG_STATE);
        }
        if (p1 != LEVEL || p2 != 0) {
            refuse(Words.WRONG_P1P2);
        }
        if (length != (short) (2 * MAC_SIZE)) {
            refuse(Words.WRONG_LENGTH);
        }
        checkMac((byte) 0x84, (byte) 0x82, p1, p2, data, at, length);
        if (!Bytes.equal(data, at, ram, CRYPTOGRAM, MAC_SIZE)) {
            refuse(Words.SECURE_MESSAGING_WRONG);
        }
        ram[STATE] = OPEN;
    }

    /**
     * Verifies and removes the C-MAC and decrypts the data field in place; returns what is left of {@code length}.
     *
     * <p>{@code cla} is without the bit of command chaining. Throws SECURE_MESSAGING_MISSING when no channel is open,
     * SECURE_MESSAGING_WRONG when a MAC or a padding is wrong.
     */
    short unwrap(byte cla, byte ins, byte p1, byte p2, byte[] data, short at, short length) {
        if (ram[STATE] != OPEN) {
            ISOException.throwIt(Words.SECURE_MESSAGING_MISSING);
        }
        countOne();
        if (length < MAC_SIZE) {
            refuse(Words.SECURE_MESSAGING_WRONG);
        }
        checkMac((byte) (cla | SECURE_MESSAGING), ins, p1, p2, data, at, length);
        length -= MAC_SIZE;
        return length == 0 ? length : decrypt(data, at, length);
    }

    /**
     * Encrypts {@code length} bytes of a good answer in place, if there are any, and appends the R-MAC; returns the
     * length.
     */
    short wrap(byte[] data, short at, short length) {
        if (length != 0) {
            length = encrypt(data, at, length);
        }
        Util.setShort(data, (short) (at + length), ISO7816.SW_NO_ERROR);
        cmac.begin(sessionResponseMac);
        cmac.update(ram, CHAINING, BLOCK);
        cmac.update(data, at, (short) (length + 2));
        cmac.finish(ram, WORK);
        Util.arrayCopyNonAtomic(ram, WORK, data, (short) (at + length), MAC_SIZE);
        return (short) (length + MAC_SIZE);
    }

    /**
     * Moves the chaining value on over the command and holds its first 8 bytes against the last 8 of the data field.
     */
    private void checkMac(byte cla, byte ins, byte p1, byte p2, byte[] data, short at, short length) {
        short head = WORK;
        ram[head++] = cla;
        ram[head++] = ins;
        ram[head++] = p1;
        ram[head++] = p2;
        if (length > (short) 255) {
            ram[head++] = 0;
            head = Util.setShort(ram, head, length);
        } else {
            ram[head++] = (byte) length;
        }
        cmac.begin(sessionMac);
        cmac.update(ram, CHAINING, BLOCK);
        cmac.update(ram, WORK, (short) (head - WORK));
        cmac.update(data, at, (short) (length - MAC_SIZE));
        cmac.finish(ram, CHAINING);
        if (!Bytes.equal(data, (short) (at + length - MAC_SIZE), ram, CHAINING, MAC_SIZE)) {
            refuse(Words.SECURE_MESSAGING_WRONG);
        }
    }

    private short decrypt(byte[] data, short at, short length) {
        if ((short) (length & (BLOCK - 1)) != 0) {
            refuse(Words.SECURE_MESSAGING_WRONG);
        }
        initCbc(Cipher.MODE_DECRYPT);
        cbc.doFinal(data, at, length, data, at);
        short end = (short) (at + length - 1);
        short least = (short) (end - BLOCK + 1);
        while (end >= least && data[end] == 0) { // ISO/IEC 9797-1 method 2 (clause 4.1.4): 80, then zeros
            end--;
        }
        if (end < least || data[end] != (byte) 0x80) {
            refuse(Words.SECURE_MESSAGING_WRONG);
        }
        return (short) (end - at);
    }

    private short encrypt(byte[] data, short at, short length) {
        short padded = (short) ((short) (length + BLOCK) & (short) -BLOCK);
        Util.arrayFillNonAtomic(data, (short) (at + length), (short) (padded - length), (byte) 0);
        data[(short) (at + length)] = (byte) 0x80;
        ram[COUNTER] = (byte) 0x80; // clause 6.2.7: the counter of the command, another first byte
        initCbc(Cipher.MODE_ENCRYPT);
        ram[COUNTER] = 0;
        cbc.doFinal(data, at, padded, data, at);
        return padded;
    }

    /** The ICV is the encrypted counter (clause 6.2.6). */
    private void initCbc(byte mode) {
        ecb.init(sessionEnc, Cipher.MODE_ENCRYPT);
        ecb.doFinal(ram, COUNTER, BLOCK, ram, WORK);
        cbc.init(sessionEnc, mode, ram, WORK, BLOCK);
    }

    /** One command more; a session ends long before four bytes of the counter are used up. */
    private void countOne() {
        short last = (short) (COUNTER + BLOCK - 1);
        for (short i = last; i > (short) (last - 4); i--) {
            if (++ram[i] != 0) {
                return;
            }
        }
    }

    private void refuse(short word) {
        close();
        ISOException.throwIt(word);
    }
}
