package open.ecny.purse;

import javacard.framework.ISOException;

/**
 * RESEND: stored Vouchers, and Requests that are still open, for a terminal that has lost its answer. Changes
 * nothing.
 */
final class Resending {
    private final Memory memory;
    private final Vouchers vouchers;
    private final Requests requests;

    Resending(Memory memory, Vouchers vouchers, Requests requests) {
        this.memory = memory;
        this.vouchers = vouchers;
        this.requests = requests;
    }

    /** The Voucher that answers the Request whose hash is at 0. */
    short byRequest(byte[] buffer) {
        short slot = vouchers.ofRequest(buffer, (short) 0);
        if (slot == Vouchers.NONE) {
            ISOException.throwIt(Words.NOT_FOUND);
        }
        return vouchers.answer(slot, buffer);
    }

    /** Voucher number {@code index}, from 0, oldest first, of the payee whose id is at 0. */
    short byPayee(byte[] buffer, byte index) {
        short wanted = (short) (index & 0xFF);
        for (short slot = vouchers.next(Vouchers.NONE); slot != Vouchers.NONE; slot = vouchers.next(slot)) {
            if (vouchers.holds(slot, Layout.TRANSFER_PAYEE, buffer, (short) 0, Layout.ID) && wanted-- == 0) {
                return vouchers.answer(slot, buffer);
            }
        }
        ISOException.throwIt(Words.NOT_FOUND);
        return 0;
    }

    /** Voucher number {@code index} of all: every payee, so only the holder may list them. */
    short any(byte[] buffer, byte index) {
        if (!memory.isPinVerified()) {
            ISOException.throwIt(Words.PIN_REQUIRED);
        }
        short wanted = (short) (index & 0xFF);
        for (short slot = vouchers.next(Vouchers.NONE); slot != Vouchers.NONE; slot = vouchers.next(slot)) {
            if (wanted-- == 0) {
                return vouchers.answer(slot, buffer);
            }
        }
        ISOException.throwIt(Words.NOT_FOUND);
        return 0;
    }

    /** Request number {@code index} that is OPEN, oldest first. */
    short openRequest(byte[] buffer, byte index) {
        short wanted = (short) (index & 0xFF);
        for (short entry = requests.next(Requests.NONE); entry != Requests.NONE; entry = requests.next(entry)) {
            if (memory.entryState(entry) == State.OPEN && wanted-- == 0) {
                return requests.answerRequest(entry, buffer);
            }
        }
        ISOException.throwIt(Words.NOT_FOUND);
        return 0;
    }
}
