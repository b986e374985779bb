package open.ecny.runtime.applets;

import javacard.framework.APDU;
import javacard.framework.Applet;

/** Wrong on purpose: a card has no numbers of 64 bits. */
public final class Wide extends Applet {
    private long sum;

    public static void install(byte[] array, short offset, byte length) {
        new Wide().register();
    }

    @Override
    public void process(APDU apdu) {
        sum++;
    }
}
