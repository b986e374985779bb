package open.ecny.runtime.applets;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.AppletEvent;

/** Wrong on purpose: a card has no invokedynamic. */
public final class Lambda extends Applet {
    public static void install(byte[] array, short offset, byte length) {
        new Lambda().register();
    }

    @Override
    public void process(APDU apdu) {
        AppletEvent event = this::deselect;
        event.uninstall();
    }
}
