package open.ecny.purse;

/**
 * Content of one voucher slot: the signed Voucher and H(Voucher). Each slot has arrays of its own, so that a copy that is
 * torn cannot touch the next slot. The states of slots are in the state record.
 */
final class Slot {
    static final short COUNT = 16;

    final byte[] voucher = new byte[Layout.SIGNED_VOUCHER];
    final byte[] hash = new byte[Layout.HASH];
}
