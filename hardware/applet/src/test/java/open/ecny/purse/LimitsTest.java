package open.ecny.purse;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.licel.jcardsim.base.Simulator;
import java.nio.ByteBuffer;
import java.util.Arrays;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.security.CryptoException;
import javacard.security.RandomData;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Totals, limits and counters where their bytes are 80 and above, and at their last values: no sequence of commands
 * gets a card there, so the state record is set from outside. Amounts in fen.
 */
class LimitsTest {
    private static final long MOST = (1L << 53) - 1;
    private static final int OK = 0x9000;
    private static final byte[] OTHER = new byte[Layout.ID];

    private static Memory memory;
    private static Identity identity;
    private static Paying paying;
    private static Asking asking;
    private static Vouchers vouchers;
    private static byte[] fresh;
    private final byte[] policy = new byte[Layout.SIGNED_POLICY];
    private final byte[] buffer = new byte[Layout.BUFFER];

    @BeforeAll
    static void makeCard() {
        new Simulator();
        Arrays.fill(OTHER, (byte) 0xEE);
        memory = new Memory(new byte[Memory.FACTORY], (short) 0, Memory.FACTORY);
        Hash hash = new Hash();
        identity = new Identity(memory.state, hash);
        Ecdsa ecdsa = new Ecdsa(identity);
        Chain chain = new Chain(memory, hash, ecdsa);
        Policy rules = new Policy(memory.objects);
        vouchers = new Vouchers(memory, hash);
        Requests requests = new Requests(memory, hash);
        RandomData random = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);
        paying = new Paying(memory, identity, rules, vouchers, hash, ecdsa, chain, new Audit(memory, random));
        asking = new Asking(memory, identity, rules, requests, ecdsa, chain);
        memory.state.load();
        identity.make();
        memory.objects.write(Objects.AUDIT_KEY, new byte[Objects.AUDIT_KEY_SIZE], (short) 0);
        memory.state.now[State.LIFECYCLE] = State.ACTIVE;
        fresh = memory.state.now.clone();
    }

    /** No money, no limits. */
    @BeforeEach
    void begin() {
        System.arraycopy(fresh, 0, memory.state.now, 0, State.SIZE);
        memory.setPinVerified(false);
        for (short field : new short[] {
            Layout.POLICY_BALANCE_LIMIT, Layout.POLICY_TRANSFER_LIMIT, Layout.POLICY_OFFLINE_TOTAL,
            Layout.POLICY_PIN_THRESHOLD, Layout.POLICY_UNVERIFIED_TOTAL, Layout.POLICY_PAYEE_THRESHOLD
        }) {
            policy(field, MOST);
        }
        ByteBuffer.wrap(policy).putInt(Layout.PAYLOAD + Layout.POLICY_OFFLINE_COUNT, -1);
        policy[Layout.PAYLOAD + Layout.POLICY_LEAST_SUITE] = 1;
        policy[Layout.PAYLOAD + Layout.POLICY_MODE] = Layout.MODE_INTERMITTENT;
        store();
    }

    private void policy(short field, long amount) {
        ByteBuffer.wrap(policy).putLong(Layout.PAYLOAD + field, amount);
    }

    private void store() {
        memory.objects.write(Objects.POLICY, policy, (short) 0);
        memory.state.commit();
    }

    private void counter(short at, long value) {
        ByteBuffer.wrap(memory.state.now).putInt(at, (int) value);
        memory.state.commit();
    }

    private void total(short at, long value) {
        ByteBuffer.wrap(memory.state.now).putLong(at, value);
        memory.state.commit();
    }

    private long total(short at) {
        memory.state.load();
        return ByteBuffer.wrap(memory.state.now).getLong(at);
    }

    private interface Step {
        short run();
    }

    /** The status word; a refusal leaves the record as it was. */
    private int word(Step step) {
        memory.state.load();
        byte[] before = memory.state.now.clone();
        try {
            step.run();
            return OK;
        } catch (ISOException refused) {
            memory.state.load();
            assertArrayEquals(before, memory.state.now);
            return refused.getReason() & 0xFFFF;
        }
    }

    private int pay(long n, long amount) {
        Arrays.fill(buffer, (byte) 0);
        Form.lay(Form.REQUEST, buffer, (short) 0);
        ByteBuffer data = ByteBuffer.wrap(buffer);
        System.arraycopy(identity.id(), 0, buffer, Layout.TRANSFER_PAYER, Layout.ID);
        data.putInt(Layout.TRANSFER_EPOCH, ByteBuffer.wrap(memory.state.now).getInt(State.EPOCH));
        data.putInt(Layout.TRANSFER_N, (int) n);
        System.arraycopy(OTHER, 0, buffer, Layout.TRANSFER_PAYEE, Layout.ID);
        data.putInt(Layout.TRANSFER_K, 1);
        data.putLong(Layout.TRANSFER_AMOUNT, amount);
        return word(() -> paying.pay(buffer));
    }

    private int ask(int n, long amount) {
        Arrays.fill(buffer, (byte) 0);
        System.arraycopy(OTHER, 0, buffer, 0, Layout.ID);
        ByteBuffer.wrap(buffer, Layout.QUESTION_EPOCH, 16).putInt(1).putInt(n).putLong(amount);
        return word(() -> asking.request(buffer));
    }

    @Test
    void theLastPayerCounterIsPaidAndNoneAfterIt() {
        total(State.IN, 100);
        counter(State.NEXT_N, 0xFFFFFFFEL);
        counter(State.N_ACKED, 0xFFFFFFFDL);
        assertEquals(0x69E1, pay(0xFFFFFFFFL, 1));
        assertEquals(OK, pay(0xFFFFFFFEL, 1));
        assertEquals(0x69EF, pay(0xFFFFFFFFL, 1));
        assertEquals(0x69E1, pay(0, 1));
        assertEquals(OK, pay(0xFFFFFFFEL, 1), "what is stored is answered");
        assertEquals(1, total(State.OUT));
    }

    @Test
    void theLastPayeeCounterIsAskedAndNoneAfterIt() {
        counter(State.NEXT_K, 0xFFFFFFFEL);
        assertEquals(OK, ask(1, 1));
        assertEquals(0x69EF, ask(2, 1));
        assertEquals(OK, ask(1, 1), "what is stored is answered");
    }

    @ParameterizedTest
    @CsvSource({"0x7FFFFFFF, 0x80000002", "0xFFFFFFF0, 0xFFFFFFF3", "0x01, 0x04", "0xFE, 0x101"})
    void paymentsAreCountedAcrossEachSign(String acknowledged, String next) {
        total(State.IN, 100);
        ByteBuffer.wrap(policy).putInt(Layout.PAYLOAD + Layout.POLICY_OFFLINE_COUNT, 4);
        store();
        counter(State.N_ACKED, Long.decode(acknowledged));
        counter(State.NEXT_N, Long.decode(next));
        assertEquals(OK, pay(Long.decode(next), 1));
        assertEquals(0x69E5, pay(Long.decode(next) + 1, 1));
    }

    @Test
    void vouchersAreInTheOrderOfUnsignedCounters() {
        total(State.IN, 100);
        counter(State.NEXT_N, 0x7FFFFFFEL);
        counter(State.N_ACKED, 0x7FFFFFFEL);
        for (long n = 0x7FFFFFFEL; n <= 0x80000001L; n++) {
            assertEquals(OK, pay(n, 1));
        }
        long expected = 0x7FFFFFFEL;
        for (short slot = vouchers.next(Vouchers.NONE); slot != Vouchers.NONE; slot = vouchers.next(slot)) {
            byte[] voucher = memory.slots[slot].voucher;
            assertEquals((int) expected++, ByteBuffer.wrap(voucher).getInt(Vouchers.place(Layout.TRANSFER_N)));
        }
        assertEquals(0x80000002L, expected);
    }

    /** Both limits of PAY that are amounts of their own, at every place where a byte or its sign changes. */
    @ParameterizedTest
    @CsvSource({"0x7F", "0x80", "0xFFFF", "0x7FFFFFFF", "0x80000000", "0x80000000000000"})
    void anAmountAtItsLimitPassesAndOneFenMoreDoesNot(String limit) {
        long most = Math.min(Long.decode(limit), MOST - 1);
        short[] fields = {
            Layout.POLICY_TRANSFER_LIMIT, Layout.POLICY_OFFLINE_TOTAL, Layout.POLICY_PIN_THRESHOLD,
            Layout.POLICY_UNVERIFIED_TOTAL, Layout.POLICY_PAYEE_THRESHOLD
        };
        int[] words = {0x69E3, 0x69E4, 0x6982, 0x6982, 0x69E9};
        for (int i = 0; i < fields.length; i++) {
            begin();
            total(State.IN, MOST);
            policy(fields[i], most);
            store();
            assertEquals(words[i], pay(1, most + 1), "field " + fields[i]);
            assertEquals(OK, pay(1, most), "field " + fields[i]);
            assertEquals(most, total(State.OUT));
        }
    }

    @ParameterizedTest
    @CsvSource({"0x7F", "0x80", "0xFF", "0x8000", "0x80000000", "0xFFFFFFFF", "0x1FFFFFFFFFFFFE"})
    void theBalanceIsSpentToTheLastFen(String in) {
        long inflow = Long.decode(in);
        total(State.IN, inflow);
        assertEquals(0x69E2, pay(1, inflow + 1));
        assertEquals(OK, pay(1, inflow));
        assertEquals(0x69E2, pay(2, 1));
        total(State.REVERSED, 1);
        assertEquals(OK, pay(2, 1));
    }

    @Test
    void outIsNeverMoreThanAPurseCanCount() {
        total(State.IN, MOST);
        total(State.REVERSED, MOST); // 2^54 - 2 in all: more than one total may be
        total(State.OUT, MOST - 5);
        assertEquals(0x69E6, pay(1, 6));
        assertEquals(0x69E6, pay(1, MOST));
        assertEquals(0x6A80, pay(1, MOST + 1));
        assertEquals(0x6A80, pay(1, -1));
        assertEquals(0x69E6, pay(1, 0));
        assertEquals(OK, pay(1, 5));
        assertEquals(MOST, total(State.OUT));
        assertEquals(0x69E6, pay(2, 1));
    }

    @Test
    void stagedMoneyIsWhatTheOperatorHasSeen() {
        policy[Layout.PAYLOAD + Layout.POLICY_MODE] = Layout.MODE_STAGED;
        store();
        total(State.IN, 0x100);
        total(State.IN_ACKED, 0x80);
        assertEquals(0x69E2, pay(1, 0x81));
        assertEquals(OK, pay(1, 0x80));
    }

    @Test
    void inAndAllThatIsOpenIsNeverMoreThanAPurseCanCount() {
        total(State.IN, MOST - 0x180);
        total(State.OUT, MOST - 0x180);
        assertEquals(OK, ask(1, 0x80));
        assertEquals(OK, ask(2, 0x80));
        assertEquals(0x69E6, ask(3, 0x81));
        assertEquals(0x69E6, ask(3, MOST));
        assertEquals(OK, ask(3, 0x80));
        assertEquals(0x69E6, ask(4, 1));
    }

    @ParameterizedTest
    @CsvSource({"0x7F", "0x80", "0xFF", "0x8000", "0xFFFFFFFF", "0x80000000000000"})
    void balanceAndOpenRequestsStayWithinTheLimit(String limit) {
        long most = Math.min(Long.decode(limit), MOST - 1);
        policy(Layout.POLICY_BALANCE_LIMIT, most);
        store();
        assertEquals(OK, ask(1, most / 2));
        assertEquals(0x69E8, ask(2, most - most / 2 + 1));
        assertEquals(OK, ask(2, most - most / 2));
        assertEquals(0x69E8, ask(3, 1));
    }

    /** PIN, PAY, PAY: the second payment is not covered, whatever became of the first. */
    @Test
    void aVerifiedPinIsForOnePayment() {
        policy(Layout.POLICY_PIN_THRESHOLD, 0);
        policy(Layout.POLICY_TRANSFER_LIMIT, 50);
        store();
        total(State.IN, 100);
        memory.setPinVerified(true);
        assertEquals(0x69E3, pay(1, 51));
        assertEquals(OK, pay(1, 50));
        assertFalse(memory.isPinVerified());
        assertEquals(0x6982, pay(2, 1));
        assertEquals(OK, pay(1, 50), "what is stored is answered");
    }

    /** An engine that gives up in mid command: 6F00 to the terminal, and the card is as it was. */
    @Test
    void aSignatureThatFailsMovesNothing() {
        total(State.IN, 100);
        byte[] scalar = new byte[Curve.SIZE];
        identity.secret().getS(scalar, (short) 0);
        byte[] before = memory.state.now.clone();
        try {
            identity.secret().clearKey();
            memory.setPinVerified(true);
            assertThrows(CryptoException.class, () -> pay(1, 10));
            assertThrows(CryptoException.class, () -> ask(1, 10));
            memory.state.load();
            assertArrayEquals(before, memory.state.now);
            assertTrue(memory.isPinVerified(), "nothing was paid with it");
            assertEquals(0, JCSystem.getTransactionDepth());
        } finally {
            Curve.set(identity.secret());
            identity.secret().setS(scalar, (short) 0, Curve.SIZE);
        }
        assertEquals(OK, pay(1, 10));
        assertEquals(OK, ask(1, 10));
        assertEquals(10, total(State.OUT));
    }
}
