package open.ecny.client;

import java.io.IOException;
import java.net.SocketTimeoutException;
import java.util.concurrent.TimeUnit;
import javax.smartcardio.CardException;
import javax.smartcardio.CardTerminal;
import javax.smartcardio.CommandAPDU;
import javax.smartcardio.ResponseAPDU;
import javax.smartcardio.TerminalFactory;

/**
 * A real reader, by the Java platform's own way to PC/SC. On Debian and Ubuntu it has to be told where the library is:
 * {@code -Dsun.security.smartcardio.library=/usr/lib/x86_64-linux-gnu/libpcsclite.so.1}.
 */
final class PcscReader implements Reader {
    static {
        // Otherwise the platform fetches the rest of an answer itself, and 61xx is never seen.
        System.setProperty("sun.security.smartcardio.t0GetResponse", "false");
        System.setProperty("sun.security.smartcardio.t1GetResponse", "false");
    }

    private final CardTerminal terminal;
    private javax.smartcardio.Card card;

    /** The first reader whose name contains `name`. */
    PcscReader(String name) throws Refused {
        CardTerminal found = null;
        try {
            for (CardTerminal one : TerminalFactory.getDefault().terminals().list()) {
                found = found == null && one.getName().contains(name) ? one : found;
            }
        } catch (CardException noService) {
            throw new Refused(Refused.NO_SERVICE, "the PC/SC service does not answer: " + noService.getMessage());
        }
        if (found == null) {
            throw new Refused(Refused.NO_READER, "no reader is called " + name);
        }
        terminal = found;
    }

    @Override
    public String where() {
        return terminal.getName();
    }

    @Override
    public byte[] insert(long deadline) throws IOException {
        remove();
        while (true) {
            long left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
            try {
                if (left <= 0 || !terminal.waitForCardPresent(left)) {
                    throw new SocketTimeoutException("no card");
                }
                card = terminal.connect("*");
                return card.getATR().getBytes();
            } catch (CardException again) {
                remove(); // it came and went, or is not powered yet
            }
        }
    }

    @Override
    public byte[] exchange(byte[] command) throws CardLost {
        if (card == null) {
            throw new CardLost("there is no card", null);
        }
        try {
            ResponseAPDU answer = card.getBasicChannel().transmit(new CommandAPDU(command));
            return answer.getBytes();
        } catch (CardException | IllegalStateException | IllegalArgumentException gone) {
            remove(); // a torn card may look like success with an answer of no bytes, which is none
            throw new CardLost("the card left before it had answered", gone);
        }
    }

    @Override
    public void remove() {
        if (card != null) {
            try {
                card.disconnect(true); // power off: what is verified or selected ends here
            } catch (CardException alreadyGone) {
                // nothing is left to power off
            }
            card = null;
        }
    }

    @Override
    public void close() {
        remove();
    }
}
