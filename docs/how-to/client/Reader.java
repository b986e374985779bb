package open.ecny.client;

import java.io.IOException;

/** Where a card is put in: a socket (SocketReader) or the computer's PC/SC service (PcscReader). */
interface Reader extends AutoCloseable {
    /** The card is gone. After a command was sent this says nothing about what the card did with it. */
    final class CardLost extends IOException {
        private static final long serialVersionUID = 1L;

        CardLost(String message, Throwable cause) {
            super(message, cause);
        }
    }

    /** For people: where to put the card. */
    String where();

    /**
     * Waits for a card, gives it power, and returns its ATR; SocketTimeoutException when none comes until `deadline`,
     * as System.nanoTime() counts.
     */
    byte[] insert(long deadline) throws IOException;

    /** One command APDU for one answer: data and status word. */
    byte[] exchange(byte[] command) throws CardLost;

    /** Lets the card go, if there is one: the next `insert` begins anew. */
    void remove();

    @Override
    void close() throws IOException;
}
