package open.ecny.runtime.applets;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.JCSystem;
import javacard.framework.Util;

/** Two balances and a journal of 200 bytes. INS 10 moves P1 from one to the other and fills the journal with P1. */
abstract class Transfer extends Applet {
    static final byte INS_MOVE = 0x10;
    static final short JOURNAL = 200;

    short from = 1000;
    short to;
    final byte[] journal = new byte[JOURNAL];
    final byte[] fresh = JCSystem.makeTransientByteArray(JOURNAL, JCSystem.CLEAR_ON_DESELECT);

    abstract void move(short amount);

    @Override
    public void process(APDU apdu) {
        if (selectingApplet()) {
            return;
        }
        byte[] buffer = apdu.getBuffer();
        if (buffer[ISO7816.OFFSET_INS] == INS_MOVE) {
            short amount = (short) (buffer[ISO7816.OFFSET_P1] & 0xFF);
            Util.arrayFillNonAtomic(fresh, (short) 0, JOURNAL, (byte) amount);
            move(amount);
            return;
        }
        Util.setShort(buffer, (short) 0, from);
        Util.setShort(buffer, (short) 2, to);
        buffer[4] = journal[0];
        buffer[5] = journal[(short) (JOURNAL - 1)];
        apdu.setOutgoingAndSend((short) 0, (short) 6);
    }
}
