package open.ecny.purse;

import javacard.framework.ISOException;
import javacard.framework.Util;

/**
 * The table of commands (docs/spec/apdu.md, *Commands*) and the checks that need nothing but it, in their order: CLA
 * and INS, the way it came (plain or through the secure channel), P1-P2, length, life cycle.
 */
final class Commands {
    static final byte SELECT = 0;
    static final byte GET_DATA = 1;
    static final byte VERIFY = 2;
    static final byte REQUEST = 3;
    static final byte REQUEST_VERIFIED = 4;
    static final byte PAY = 5;
    static final byte PAY_VERIFIED = 6;
    static final byte COLLECT = 7;
    static final byte REFUSE = 8;
    static final byte RESEND_BY_REQUEST = 9;
    static final byte RESEND_BY_PAYEE = 10;
    static final byte RESEND_ANY = 11;
    static final byte RESEND_OPEN = 12;
    static final byte ACKNOWLEDGE = 13;
    static final byte ACKNOWLEDGE_REFUSAL = 14;
    static final byte REVERSE = 15;
    static final byte REPORT = 16;
    static final byte GRANT = 17;
    static final byte GENERATE_KEY_PAIR = 18;
    static final byte STORE_DATA = 19;
    static final byte STORE_POLICY = 20;
    static final byte PERSONALISE_END = 21;
    static final byte ACTIVATE = 22;
    static final byte DEACTIVATE = 23;
    static final byte TERMINATE = 24;

    static final byte INS_SELECT = (byte) 0xA4;
    static final byte INS_GET_RESPONSE = (byte) 0xC0;
    static final byte INS_INITIALIZE_UPDATE = 0x50;
    static final byte INS_EXTERNAL_AUTHENTICATE = (byte) 0x82;
    static final byte INS_STORE_DATA = (byte) 0xE2;
    static final byte CLA_ISO = 0x00;
    static final byte CLA_PURSE = (byte) 0x80;

    // Life-cycle states in which a command is heard: bit of the state's number.
    private static final byte IN_BLANK = 1;
    private static final byte IN_PERSONALISED = 1 << State.PERSONALISED;
    private static final byte IN_ACTIVE = 1 << State.ACTIVE;
    private static final byte IN_USE = IN_ACTIVE | 1 << State.BLOCKED;
    private static final byte IN_LIFE = IN_BLANK | IN_PERSONALISED | IN_USE;
    private static final byte EVER = IN_LIFE | 1 << State.TERMINATED;

    private static final byte PLAIN = 0;
    private static final byte SECURED = 1;

    /** As a number of P1 or P2: any. */
    private static final short ANY = -1;

    // Columns.
    private static final short CLA_INS = 0;
    private static final short P1 = 1;
    private static final short P2 = 2;
    private static final short LENGTH = 3;
    private static final short WAY_AND_STATES = 4;
    private static final short COLUMNS = 5;

    private static final short CERTIFICATES = 2 * Layout.CERTIFICATE;
    /** SELECT that comes through the channel is held against 5 to 16 bytes before its way is refused. */
    private static final short AID = -2;

    /** One row for each of the numbers above, in their order. A repeated step is heard where it leads to. */
    private static final short[] TABLE = {
        0x00A4, 4, 0, AID, PLAIN << 8 | EVER,
        0x00CA, ANY, ANY, 0, PLAIN << 8 | EVER,
        0x0020, 0, 1, Objects.PIN_SIZE, PLAIN << 8 | IN_USE,
        (short) 0x8030, 0, 0, Layout.QUESTION, PLAIN << 8 | IN_USE,
        (short) 0x8030, 1, 0, Layout.QUESTION + CERTIFICATES, PLAIN << 8 | IN_USE,
        (short) 0x8032, 0, 0, Layout.REQUEST, PLAIN << 8 | IN_USE,
        (short) 0x8032, 1, 0, Layout.SIGNED_REQUEST + CERTIFICATES, PLAIN << 8 | IN_USE,
        (short) 0x8034, 0, 0, Layout.SIGNED_VOUCHER + CERTIFICATES, PLAIN << 8 | IN_USE,
        (short) 0x8036, 0, 0, Layout.HASH, PLAIN << 8 | IN_USE,
        (short) 0x8038, 0, 0, Layout.HASH, PLAIN << 8 | IN_USE,
        (short) 0x8038, 1, ANY, Layout.ID, PLAIN << 8 | IN_USE,
        (short) 0x8038, 2, ANY, 0, PLAIN << 8 | IN_USE,
        (short) 0x8038, 3, ANY, 0, PLAIN << 8 | IN_USE,
        (short) 0x803A, 0, 0, Layout.SIGNED_RECEIPT + CERTIFICATES, PLAIN << 8 | IN_USE,
        (short) 0x803A, 1, 0, Layout.SIGNED_REFUSAL + CERTIFICATES, PLAIN << 8 | IN_USE,
        (short) 0x803C, 0, 0, Layout.SIGNED_ORDER, PLAIN << 8 | IN_USE,
        (short) 0x803E, 0, 0, 0, PLAIN << 8 | IN_USE,
        (short) 0x8040, 0, 0, Layout.SIGNED_GRANT, PLAIN << 8 | IN_USE,
        (short) 0x8046, 0, 0, Layout.HASH, SECURED << 8 | IN_BLANK,
        (short) 0x80E2, ANY, 0, ANY, SECURED << 8 | IN_BLANK,
        (short) 0x80E2, Objects.POLICY, 0, Layout.SIGNED_POLICY, SECURED << 8 | IN_LIFE,
        (short) 0x8044, 1, 0, 0, SECURED << 8 | IN_BLANK | IN_PERSONALISED,
        (short) 0x8044, 2, 0, 0, SECURED << 8 | IN_PERSONALISED | IN_ACTIVE,
        (short) 0x8004, 0, 0, 0, SECURED << 8 | IN_USE,
        (short) 0x80E6, 0, 0, 0, SECURED << 8 | EVER,
    };

    private Commands() {}

    /** Number of the command, or the first of the checks that fails: UNKNOWN_INS, WRONG_P1P2, WRONG_LENGTH. */
    static byte find(byte cla, byte ins, byte p1, byte p2, short length) {
        short code = Util.makeShort(cla, ins);
        boolean known = false;
        for (byte i = TERMINATE; i >= 0; i--) { // STORE DATA: the policy's row first
            short row = (short) (i * COLUMNS);
            if (TABLE[(short) (row + CLA_INS)] == code) {
                known = true;
                if (fits(TABLE[(short) (row + P1)], p1) && fits(TABLE[(short) (row + P2)], p2)) {
                    checkLength(TABLE[(short) (row + LENGTH)], p1, length);
                    return i;
                }
            }
        }
        ISOException.throwIt(known ? Words.WRONG_P1P2 : Words.UNKNOWN_INS);
        return 0;
    }

    private static boolean fits(short wanted, byte given) {
        return wanted == ANY || wanted == (short) (given & 0xFF);
    }

    private static void checkLength(short wanted, byte p1, short length) {
        if (wanted == ANY) {
            wanted = Objects.size(p1);
            if (wanted == 0) {
                ISOException.throwIt(Words.WRONG_P1P2); // STORE DATA of an object that is none
            }
        }
        boolean right = wanted == AID ? length >= 5 && length <= 16 : length == wanted;
        if (!right) {
            ISOException.throwIt(Words.WRONG_LENGTH);
        }
    }

    /**
     * Whether a plain command is one of personalisation or life cycle, whatever its parameters: that is told before
     * they are looked at. A new policy is not: it needs no channel once the purse is active.
     */
    static boolean wantsChannel(byte cla, byte ins, byte p1, byte p2) {
        if (cla != CLA_PURSE || (ins == INS_STORE_DATA && p1 == Objects.POLICY && p2 == 0)) {
            return false;
        }
        short code = Util.makeShort(cla, ins);
        for (byte i = GENERATE_KEY_PAIR; i <= TERMINATE; i++) {
            if (TABLE[(short) (i * COLUMNS + CLA_INS)] == code) {
                return true;
            }
        }
        return false;
    }

    /**
     * Whether the command may come this way, in this state of life: throws SECURE_MESSAGING_MISSING, WRONG_STATE. A
     * signed policy needs no channel once the purse is active: its signature and rising version are enough.
     */
    static void check(byte command, boolean secured, byte lifecycle) {
        short wayAndStates = TABLE[(short) (command * COLUMNS + WAY_AND_STATES)];
        boolean wantsChannel = (short) (wayAndStates >> 8) == SECURED;
        boolean openPolicy = command == STORE_POLICY && lifecycle == State.ACTIVE && !secured;
        if (wantsChannel != secured && !openPolicy) {
            ISOException.throwIt(Words.SECURE_MESSAGING_MISSING);
        }
        if ((short) (wayAndStates & (short) (1 << lifecycle)) == 0) {
            ISOException.throwIt(Words.WRONG_STATE);
        }
    }
}
