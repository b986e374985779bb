package open.ecny.client;

import java.io.IOException;
import java.net.SocketTimeoutException;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.util.Arrays;
import java.util.Set;

/**
 * One sale, as docs/spec/till.md tells it. It ends with the voucher on disk (PAID), or with the till's Refusal on disk
 * (NOT CHARGED, and only where the card's answer proves it), or open: then the same card is asked the same bytes again.
 */
final class Sale {
    /** Refusals that promise an untouched memory, beside 64xx and 69xx. */
    private static final Set<Integer> PROMISES = Set.of(0x6581, 0x6A80, 0x6A84, 0x6A88);

    private final Journal journal;
    private final PrivateKey key;
    private final Till.Papers papers;
    private final Reader reader;
    private final Card card;
    private final long tapSeconds;
    private final long retapSeconds;
    private String pin;

    /** `pin` may be null; `tap` and `retap`: seconds to wait for a card, and for the same card again. */
    Sale(Journal journal, PrivateKey key, Till.Papers papers, Reader reader, String pin, long tap, long retap) {
        this.journal = journal;
        this.key = key;
        this.papers = papers;
        this.reader = reader;
        this.card = new Card(reader);
        this.pin = pin;
        this.tapSeconds = tap;
        this.retapSeconds = retap;
    }

    private static long deadline(long seconds) {
        return System.nanoTime() + seconds * 1_000_000_000L;
    }

    /** The last sale, where it has neither voucher nor Refusal; 0 for none. One is open at most. */
    static int open(Journal journal) {
        int last = journal.count("sale-", ".request");
        String name = "sale-" + last;
        return last == 0 || journal.has(name + ".voucher") || journal.has(name + ".refusal") ? 0 : last;
    }

    void begin(long amount, byte[] order) throws Refused, IOException, GeneralSecurityException {
        Card.Shown shown = null;
        Certificate payer = null;
        long deadline = deadline(tapSeconds);
        while (payer == null) {
            try {
                reader.insert(deadline);
                shown = card.select();
                payer = believed(shown);
            } catch (Reader.CardLost left) {
                // nothing was asked: wait for a card again
            } catch (SocketTimeoutException none) {
                throw new Refused(Refused.NO_CARD, "NOT CHARGED: no card");
            }
        }
        int k = journal.count("sale-", ".request") + 1;
        Messages.Request request =
            new Messages.Request(shown.id(), shown.epoch(), shown.n(), papers.till().id(), k, amount, order);
        journal.write("sale-" + k + ".payer", payer.bytes());
        journal.write("sale-" + k + ".request", request.payload());
        settle(k, request, payer, shown);
    }

    /** The same card, the same bytes: a new Request would be a second payment. */
    void resume(int k) throws Refused, IOException, GeneralSecurityException {
        Messages.Request request = Messages.Request.parse(journal.read("sale-" + k + ".request"));
        settle(k, request, Certificate.parse(journal.read("sale-" + k + ".payer")), null);
    }

    /** Before anything is asked: a purse of this till's operator, of this id and epoch, in its dates. */
    private Certificate believed(Card.Shown shown) throws Refused, IOException {
        if (shown.lifecycle() != Card.Shown.ACTIVE) {
            throw new Refused(Refused.CARD_REFUSED, "NOT CHARGED: the card is not active");
        }
        Certificate payer = Certificate.parse(card.object(Card.CERTIFICATE));
        payer.verify(papers.operator(), papers.authority(), System.currentTimeMillis() / 1000,
            Certificate.HARD_WALLET, Certificate.MERCHANT_PURSE);
        if (!Arrays.equals(payer.id(), shown.id()) || payer.epoch() != shown.epoch()) {
            throw Refused.notBelieved("NOT CHARGED: the certificate is another card's");
        }
        return payer;
    }

    /** `shown`: from the tap that the Request was made in, so that this PAY is its first; null after a lost answer. */
    private void settle(int k, Messages.Request request, Certificate payer, Card.Shown shown)
        throws Refused, IOException, GeneralSecurityException {
        boolean first = shown != null;
        long deadline = deadline(tapSeconds);
        while (true) {
            try {
                if (shown == null) {
                    shown = sameCard(request, deadline);
                }
                Card.Answer answer = pay(request, shown);
                if (answer.sw() == Card.DONE) {
                    paid(k, request, payer, answer.data());
                    return;
                }
                if (proves(answer.sw(), first, shown, request)) {
                    byte[] refusal = Messages.refusal(papers.till().id(), k, Sign1.hash(request.payload()));
                    journal.write("sale-" + k + ".refusal", Sign1.sign(refusal, key).encode());
                    throw new Refused(Refused.CARD_REFUSED, String.format("NOT CHARGED: %04X", answer.sw()));
                }
            } catch (Reader.CardLost | NotThisVoucher unknown) {
                // The card may have acted: only the card knows, and it answers the same bytes with the same voucher.
            } catch (SocketTimeoutException none) {
                throw new Refused(Refused.OUTCOME_UNKNOWN,
                    "TAP THE SAME CARD AGAIN: sale " + k + " is open, resume it");
            }
            System.out.println("TAP THE SAME CARD AGAIN");
            reader.remove();
            deadline = first ? deadline(retapSeconds) : deadline;
            first = false;
            shown = null;
        }
    }

    /** The next tap of the card that the Request names; another card gets SELECT and nothing else. */
    private Card.Shown sameCard(Messages.Request request, long deadline) throws IOException, Refused {
        while (true) {
            reader.insert(deadline);
            Card.Shown shown = card.select();
            if (Arrays.equals(shown.id(), request.payer())) {
                return shown;
            }
            System.out.println("another card");
        }
    }

    private Card.Answer pay(Messages.Request request, Card.Shown shown)
        throws IOException, Refused, GeneralSecurityException {
        Card.Answer answer = ask(request, shown);
        if (answer.sw() != Card.PIN_REQUIRED || pin == null) {
            return answer;
        }
        String once = pin;
        pin = null; // from a file it is tried once
        if (!Arrays.equals(card.select().id(), request.payer())) {
            throw new Reader.CardLost("another card", null);
        }
        return card.verify(once).sw() == Card.DONE ? ask(request, shown) : answer;
    }

    private Card.Answer ask(Messages.Request request, Card.Shown shown) throws IOException, GeneralSecurityException {
        if (request.amount() <= shown.payeeThreshold()) {
            return card.pay(request.payload());
        }
        byte[] signed = Sign1.sign(request.payload(), key).encode();
        return card.pay(signed, papers.till().bytes(), papers.operator().bytes());
    }

    /** What the card has answered is not a voucher for this Request: for the till the same as no answer. */
    private static final class NotThisVoucher extends Exception {
        private static final long serialVersionUID = 1L;
    }

    private void paid(int k, Messages.Request request, Certificate payer, byte[] data)
        throws IOException, NotThisVoucher {
        byte[] hash;
        try {
            Sign1 voucher = Sign1.parse(data);
            Messages.checkVoucher(voucher, request, payer);
            hash = Sign1.hash(voucher.payload());
        } catch (Refused wrong) {
            throw new NotThisVoucher();
        }
        journal.write("sale-" + k + ".voucher", data); // only now it is paid
        System.out.println("PAID " + request.amount() + " fen, sale " + k + ", voucher " + Bytes.hex(hash));
    }

    /** The three proofs that this Request charged nothing (docs/spec/till.md, *Results*). */
    private static boolean proves(int sw, boolean first, Card.Shown shown, Messages.Request request) {
        boolean promise = sw >> 8 == 0x64 || sw >> 8 == 0x69 || PROMISES.contains(sw);
        boolean stands = shown.epoch() == request.epoch() && shown.n() == request.n();
        boolean passed = shown.epoch() == request.epoch() && shown.n() > request.n();
        return first || stands ? promise : passed && sw == Card.STALE;
    }
}
