package open.ecny.purse;

/**
 * Content of one entry of the table of Requests: the signed Request, the class that its payer's certificate was
 * verified to have, and once it is final the signed Receipt or Refusal. The states of entries are in the state record.
 */
final class Entry {
    static final short COUNT = 8;

    /** In {@code payerClass}: REQUEST came without a certificate. */
    static final byte UNVERIFIED = (byte) 0xFF;

    final byte[] request = new byte[Layout.SIGNED_REQUEST];
    final byte[] payerClass = new byte[1];
    final byte[] answer = new byte[Layout.SIGNED_RECEIPT];
}
