package open.ecny.purse;

/**
 * Content of one voucher slot: the signed Voucher. Each slot has an array of its own, so that a copy that is torn
 * cannot touch the next slot. The states of slots are in the state record. H(Voucher) is not kept: PAY, which a
 * customer waits for, would have to compute and write it; ACKNOWLEDGE, REVERSE and REPORT compute it when they need
 * it.
 */
final class Slot {
    static final short COUNT = 16;

    final byte[] voucher = new byte[Layout.SIGNED_VOUCHER];
}
