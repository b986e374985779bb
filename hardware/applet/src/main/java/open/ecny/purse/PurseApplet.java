package open.ecny.purse;

import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacard.framework.JCSystem;
import javacard.framework.Util;
import javacard.security.RandomData;
import javacardx.apdu.ExtendedLength;

/**
 * The purse as a Java Card applet: from an APDU to the class that answers it (docs/spec/apdu.md). Of a command first
 * the class byte is looked at, then the chain, then INS, secure messaging, P1-P2 and length, the life cycle, and then
 * the reasons of a purse, which are in the handlers.
 */
public final class PurseApplet extends Applet implements ExtendedLength {
    private static final byte SECURE_MESSAGING = 0x04;
    private static final byte ISO_SECURE_MESSAGING = 0x08;
    private static final byte LOGICAL_CHANNEL = 0x03;
    private static final short LONGEST_AID = 16;

    private final Memory memory;
    private final Exchange exchange = new Exchange();
    private final FileControl fileControl;
    private final SecureChannel channel;
    private final Ecdsa ecdsa;
    private final Personalisation personalisation;
    private final Pin pin;
    private final DataObjects dataObjects;
    private final Paying paying;
    private final Asking asking;
    private final Collecting collecting;
    private final Resending resending;
    private final Ending ending;
    private final Reporting reporting;
    private final Granting granting;

    /** Whether the purse was selected by name since the power came: before that only SELECT is known. */
    private final boolean[] selected = JCSystem.makeTransientBooleanArray((short) 1, JCSystem.CLEAR_ON_RESET);

    /**
     * Installation parameters (Java Card Runtime Environment Specification, clause 11.2): the 43 bytes of {@link
     * Memory}.
     */
    public static void install(byte[] array, short offset, byte length) {
        short aid = offset;
        short control = (short) (aid + 1 + array[aid]);
        short factory = (short) (control + 1 + array[control]);
        new PurseApplet(array, (short) (factory + 1), array[factory]).register(array, (short) (aid + 1), array[aid]);
    }

    private PurseApplet(byte[] factory, short at, short length) {
        memory = new Memory(factory, at, length);
        RandomData random = RandomData.getInstance(RandomData.ALG_SECURE_RANDOM);
        Hash hash = new Hash();
        Identity identity = new Identity(memory.state, hash);
        ecdsa = new Ecdsa(identity);
        Chain chain = new Chain(memory, hash, ecdsa);
        channel = new SecureChannel(
                memory.serial,
                factory[(short) (at + Memory.FACTORY_KEY_VERSION)],
                factory,
                (short) (at + Memory.FACTORY_ENC),
                (short) (at + Memory.FACTORY_MAC),
                random);
        fileControl = new FileControl(memory, identity);
        personalisation = new Personalisation(memory, identity, ecdsa, chain);
        pin = new Pin(memory);
        dataObjects = new DataObjects(memory);
        Policy policy = new Policy(memory.objects);
        Vouchers vouchers = new Vouchers(memory, hash);
        Requests requests = new Requests(memory, hash);
        paying = new Paying(memory, identity, policy, vouchers, hash, ecdsa, chain, new Audit(memory, random));
        asking = new Asking(memory, identity, policy, requests, ecdsa, chain);
        collecting = new Collecting(memory, identity, requests, hash, ecdsa, chain);
        resending = new Resending(memory, vouchers, requests);
        ending = new Ending(memory, identity, vouchers, ecdsa, chain);
        reporting = new Reporting(memory, identity, policy, vouchers, requests, ecdsa);
        granting = new Granting(memory, identity, policy, ecdsa);
    }

    @Override
    public void process(APDU apdu) {
        byte[] raw = apdu.getBuffer();
        if (raw[ISO7816.OFFSET_INS] == Commands.INS_GET_RESPONSE
                && raw[ISO7816.OFFSET_CLA] == Commands.CLA_ISO
                && selected[0]) {
            exchange.more(apdu);
            return;
        }
        exchange.forgetRest();
        checkClass(raw[ISO7816.OFFSET_CLA]);
        if (!exchange.take(apdu)) {
            return;
        }
        memory.state.load();
        short size = 0;
        try {
            size = run(exchange.cla(), exchange.ins());
        } finally {
            ecdsa.forget();
            exchange.wipe(size);
        }
        exchange.answer(apdu, size);
    }

    /**
     * Class byte (ISO/IEC 7816-4, clause 5.4.1): 0X and 8X, basic channel, chaining, GlobalPlatform secure messaging.
     */
    private static void checkClass(byte cla) {
        if ((cla & 0x60) != 0) {
            ISOException.throwIt((cla & 0xC0) == 0x40 ? Words.CHANNEL_NOT_SUPPORTED : Words.UNKNOWN_CLA);
        }
        if ((cla & LOGICAL_CHANNEL) != 0) {
            ISOException.throwIt(Words.CHANNEL_NOT_SUPPORTED);
        }
        if ((cla & ISO_SECURE_MESSAGING) != 0) {
            ISOException.throwIt(Words.SECURE_MESSAGING_MISSING);
        }
    }

    /** Runs a whole command; its answer is at the start of the buffer, of the size returned. */
    private short run(byte cla, byte ins) {
        if (cla == Commands.CLA_ISO && ins == Commands.INS_SELECT) {
            return select(exchange.p1(), exchange.p2());
        }
        if (!selected[0]) {
            ISOException.throwIt(Words.UNKNOWN_INS);
        }
        if (cla == Commands.CLA_PURSE && ins == Commands.INS_INITIALIZE_UPDATE) {
            return initializeUpdate();
        }
        if (cla == (byte) (Commands.CLA_PURSE | SECURE_MESSAGING) && ins == Commands.INS_EXTERNAL_AUTHENTICATE) {
            channel.externalAuthenticate(
                    exchange.p1(), exchange.p2(), exchange.buffer, (short) 0, exchange.length());
            return 0;
        }
        if ((cla & SECURE_MESSAGING) != 0) {
            return secured((byte) (cla & ~SECURE_MESSAGING), ins);
        }
        if (Commands.wantsChannel(cla, ins, exchange.p1(), exchange.p2())) {
            ISOException.throwIt(Words.SECURE_MESSAGING_MISSING);
        }
        return execute(cla, ins, exchange.length(), false);
    }

    /** By full DF name only; what was selected stays so when the name is another (clause 11.2.2). */
    private short select(byte p1, byte p2) {
        if (p1 != 0x04 || p2 != 0x00) {
            ISOException.throwIt(Words.WRONG_P1P2);
        }
        short length = exchange.length();
        if (length > LONGEST_AID) {
            ISOException.throwIt(Words.WRONG_LENGTH);
        }
        if (length != (short) FileControl.AID.length
                || Util.arrayCompare(exchange.buffer, (short) 0, FileControl.AID, (short) 0, length) != 0) {
            ISOException.throwIt(Words.NO_SUCH_APPLICATION);
        }
        channel.close();
        ecdsa.tidy();
        selected[0] = true;
        return fileControl.write(exchange.buffer);
    }

    private short initializeUpdate() {
        if (memory.state.lifecycle() == State.TERMINATED) {
            channel.close();
            ISOException.throwIt(Words.WRONG_STATE);
        }
        return channel.initializeUpdate(
                exchange.p1(),
                exchange.p2(),
                exchange.buffer,
                (short) 0,
                exchange.length(),
                exchange.buffer,
                (short) 0);
    }

    /** Unwraps, runs, wraps the answer; an error word leaves unprotected (SCP03, clause 6.2.5). */
    private short secured(byte cla, byte ins) {
        short length = exchange.length();
        if (length > SecureChannel.LONGEST && channel.isOpen()) { // it may not be whole in the buffer any more
            channel.close();
            ISOException.throwIt(Words.SECURE_MESSAGING_WRONG);
        }
        length = channel.unwrap(cla, ins, exchange.p1(), exchange.p2(), exchange.buffer, (short) 0, length);
        return channel.wrap(exchange.buffer, (short) 0, execute(cla, ins, length, true));
    }

    private short execute(byte cla, byte ins, short length, boolean secured) {
        byte command = Commands.find(cla, ins, exchange.p1(), exchange.p2(), length);
        Commands.check(command, secured, memory.state.lifecycle());
        if (command == Commands.GET_DATA) {
            return dataObjects.get(exchange.p1(), exchange.p2(), exchange.buffer);
        }
        if (command >= Commands.GENERATE_KEY_PAIR) {
            return personalise(command);
        }
        return transfer(command);
    }

    private short personalise(byte command) {
        switch (command) {
            case Commands.GENERATE_KEY_PAIR:
                return personalisation.generateKeyPair(exchange.buffer);
            case Commands.STORE_DATA:
            case Commands.STORE_POLICY:
                personalisation.storeData(exchange.p1(), exchange.buffer);
                break;
            case Commands.PERSONALISE_END:
                personalisation.personaliseEnd(exchange.buffer);
                break;
            case Commands.ACTIVATE:
                personalisation.move(State.ACTIVE);
                break;
            case Commands.DEACTIVATE:
                personalisation.move(State.BLOCKED);
                break;
            default:
                personalisation.move(State.TERMINATED);
        }
        return 0;
    }

    /** What moves value, and VERIFY. A blocked purse answers what is stored, and begins nothing (rule 10). */
    private short transfer(byte command) {
        boolean begins = command >= Commands.REQUEST && command <= Commands.PAY_VERIFIED;
        if (!begins || memory.state.lifecycle() != State.BLOCKED) {
            return begins ? begin(command) : finish(command);
        }
        try {
            return begin(command);
        } catch (ISOException refused) {
            ISOException.throwIt(Words.WRONG_STATE);
            return 0;
        }
    }

    private short begin(byte command) {
        switch (command) {
            case Commands.PAY:
                return paying.pay(exchange.buffer);
            case Commands.PAY_VERIFIED:
                return paying.payVerified(exchange.buffer);
            case Commands.REQUEST:
                return asking.request(exchange.buffer);
            default:
                return asking.requestVerified(exchange.buffer);
        }
    }

    private short finish(byte command) {
        switch (command) {
            case Commands.COLLECT:
                return collecting.collect(exchange.buffer);
            case Commands.REFUSE:
                return collecting.refuse(exchange.buffer);
            case Commands.RESEND_BY_REQUEST:
                return resending.byRequest(exchange.buffer);
            case Commands.RESEND_BY_PAYEE:
                return resending.byPayee(exchange.buffer, exchange.p2());
            case Commands.RESEND_ANY:
                return resending.any(exchange.buffer, exchange.p2());
            case Commands.RESEND_OPEN:
                return resending.openRequest(exchange.buffer, exchange.p2());
            case Commands.REPORT:
                return reporting.report(exchange.buffer);
            default:
                end(command);
                return 0;
        }
    }

    private void end(byte command) {
        switch (command) {
            case Commands.VERIFY:
                pin.verify(exchange.buffer);
                break;
            case Commands.ACKNOWLEDGE:
                ending.acknowledge(exchange.buffer);
                break;
            case Commands.ACKNOWLEDGE_REFUSAL:
                ending.acknowledgeRefusal(exchange.buffer);
                break;
            case Commands.REVERSE:
                ending.reverse(exchange.buffer);
                break;
            default:
                granting.grant(exchange.buffer);
        }
    }
}
