package open.ecny.runtime.applets;

import javacard.framework.APDU;
import javacard.framework.Applet;

/** Wrong on purpose: a card has no strings. */
public final class Text extends Applet {
    public static void install(byte[] array, short offset, byte length) {
        new Text().register();
    }

    @Override
    public void process(APDU apdu) {
        throw new SecurityException("no");
    }
}
