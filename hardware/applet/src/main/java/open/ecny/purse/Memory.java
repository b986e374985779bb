package open.ecny.purse;

import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/**
 * All that the card keeps, and the working memory that it forgets; allocated once, at installation.
 *
 * <p>What the card maker writes comes with the installation parameters, 43 bytes: serial number 8, class that the
 * card will ask to be certified as 1, production 1 (refuses test keys), key version 1, K-ENC 16, K-MAC 16.
 */
final class Memory {
    static final short SERIAL = 8;
    static final short FACTORY = 43;
    private static final short FACTORY_CLASS = 8;
    private static final short FACTORY_PRODUCTION = 9;
    static final short FACTORY_KEY_VERSION = 10;
    static final short FACTORY_ENC = 11;
    static final short FACTORY_MAC = 27;

    // Offsets into work: two amounts and three hashes of the command that runs; Chain uses HASH and HASH2.
    static final short SUM = 0;
    static final short OTHER = 8;
    static final short HASH = 16;
    static final short HASH2 = 48;
    /** H of the message that the command brought. */
    static final short MESSAGE = 80;
    private static final short WORK = 112;

    final State state = new State();
    final Objects objects = new Objects(state);
    final Slot[] slots = new Slot[Slot.COUNT];
    final Entry[] entries = new Entry[Entry.COUNT];
    final byte[] serial = new byte[SERIAL];
    final byte ownClass;
    final boolean production;
    final byte[] work = JCSystem.makeTransientByteArray(WORK, JCSystem.CLEAR_ON_DESELECT);

    /** Whether the PIN was verified since the power came (rule 13): lasts through SELECT, goes with the power. */
    private final boolean[] verified = JCSystem.makeTransientBooleanArray((short) 1, JCSystem.CLEAR_ON_RESET);

    Memory(byte[] factory, short at, short length) {
        if (length != FACTORY) {
            ISOException.throwIt(ISO7816.SW_WRONG_DATA);
        }
        Util.arrayCopyNonAtomic(factory, at, serial, (short) 0, SERIAL);
        ownClass = factory[(short) (at + FACTORY_CLASS)];
        production = factory[(short) (at + FACTORY_PRODUCTION)] != 0;
        for (short i = 0; i < Slot.COUNT; i++) {
            slots[i] = new Slot();
        }
        for (short i = 0; i < Entry.COUNT; i++) {
            entries[i] = new Entry();
        }
    }

    boolean isPinVerified() {
        return verified[0];
    }

    void setPinVerified(boolean value) {
        verified[0] = value;
    }

    byte slotState(short index) {
        return state.now[(short) (State.SLOTS + index)];
    }

    void setSlotState(short index, byte to) {
        state.now[(short) (State.SLOTS + index)] = to;
    }

    byte entryState(short index) {
        return state.now[(short) (State.ENTRIES + index)];
    }

    void setEntryState(short index, byte to) {
        state.now[(short) (State.ENTRIES + index)] = to;
    }
}
