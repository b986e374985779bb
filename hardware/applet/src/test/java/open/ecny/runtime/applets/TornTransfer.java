package open.ecny.runtime.applets;

import javacard.framework.Util;

/** Wrong on purpose: the same without a transaction. */
public final class TornTransfer extends Transfer {
    public static void install(byte[] array, short offset, byte length) {
        new TornTransfer().register();
    }

    @Override
    void move(short amount) {
        from -= amount;
        Util.arrayCopyNonAtomic(fresh, (short) 0, journal, (short) 0, JOURNAL);
        to += amount;
    }
}
