package open.ecny.runtime.applets;

import javacard.framework.JCSystem;
import javacard.framework.Util;

/** Does it in one transaction. */
public final class AtomicTransfer extends Transfer {
    public static void install(byte[] array, short offset, byte length) {
        new AtomicTransfer().register();
    }

    @Override
    void move(short amount) {
        JCSystem.beginTransaction();
        from -= amount;
        Util.arrayCopy(fresh, (short) 0, journal, (short) 0, JOURNAL);
        to += amount;
        JCSystem.commitTransaction();
    }
}
