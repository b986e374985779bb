package open.ecny.runtime;

import com.licel.jcardsim.base.ApduCase;
import com.licel.jcardsim.base.SimulatorRuntime;
import com.licel.jcardsim.utils.AIDUtil;
import java.lang.reflect.InvocationTargetException;
import java.util.Arrays;
import javacard.framework.AID;
import javacard.framework.APDU;
import javacard.framework.Applet;
import javacard.framework.ISO7816;
import javacard.framework.ISOException;
import javacardx.apdu.ExtendedLength;

/**
 * jCardSim's runtime with the promises of a chip's: transactions that are undone, an end of each command that leaves no
 * transaction open, one applet that is implicitly selected at reset (JCRE 4.1.1) and selected by its whole name.
 */
final class ChipRuntime extends SimulatorRuntime {
    private static final int AID_BYTES = 16;
    private static final byte SELECT_BY_NAME = 0x04;

    private final PersistentMemory memory;
    private AID name;
    private Applet applet;
    private boolean active;
    private Throwable lastError;

    ChipRuntime(PersistentMemory memory, TransientMemoryOfChip volatileMemory) {
        super(volatileMemory);
        this.memory = memory;
        ApduOfChip.widen(shortAPDU);
    }

    /** Calls the applet's install method with {@code parameters}, as a card manager does. */
    Applet install(Class<?> type, byte[] aid, byte[] parameters) {
        activateSimulatorRuntimeInstance();
        changeProtocol(APDU.PROTOCOL_T1);
        name = AIDUtil.create(aid);
        registrationCallback.set((registered, itsName) -> applet = registered);
        try {
            type.getMethod("install", byte[].class, short.class, byte.class)
                    .invoke(null, parameters, (short) 0, (byte) parameters.length);
        } catch (InvocationTargetException error) {
            throw new IllegalArgumentException("installation failed: " + error.getCause(), error.getCause());
        } catch (ReflectiveOperationException error) {
            throw new IllegalArgumentException(type + " has no public install method", error);
        } finally {
            registrationCallback.remove();
        }
        if (applet == null) {
            throw new IllegalArgumentException(type + " did not register itself");
        }
        applets.put(name, new ApplicationInstance(name, applet));
        return applet;
    }

    /** What ended the last command as 6F00 without the applet saying so; null if nothing did. */
    Throwable lastError() {
        return lastError;
    }

    @Override
    public void reset() {
        super.reset();
        active = false;
    }

    /** One command, one answer. Throws {@link PowerLost}. */
    @Override
    public byte[] transmitCommand(byte[] command) {
        activateSimulatorRuntimeInstance();
        ApduCase form;
        try {
            form = ApduCase.getCase(command);
        } catch (RuntimeException notAnApdu) {
            return word(ISO7816.SW_WRONG_LENGTH);
        }
        boolean select = isSelectByName(command);
        boolean ours = select && form != ApduCase.Case1 && form != ApduCase.Case2 && names(command, form);
        if (form.isExtended() && !(applet instanceof ExtendedLength)) {
            return word(ISO7816.SW_WRONG_LENGTH);
        }
        usingExtendedAPDUs = form.isExtended();
        responseBufferSize = 0;
        return process(command, form, ours);
    }

    private byte[] process(byte[] command, ApduCase form, boolean select) {
        APDU apdu = getCurrentAPDU();
        lastError = null;
        selecting = select;
        short status = ISO7816.SW_NO_ERROR;
        try {
            if (select || !active) {
                choose();
            }
            resetAPDU(apdu, form, command);
            ApduOfChip.correctLe(apdu, form, command);
            applet.process(apdu);
        } catch (ISOException answer) {
            status = answer.getReason();
        } catch (PowerLost cut) {
            throw cut;
        } catch (Exception | LinkageError error) {
            lastError = error;
            status = ISO7816.SW_UNKNOWN;
        } finally {
            selecting = false;
            resetAPDU(apdu, null, null);
            if (memory.isDead()) {
                throw new PowerLost();
            }
        }
        if (memory.isOpen()) {
            memory.abort(); // JCRE 7.6.2: an applet that returns in mid transaction has none
        }
        return answer(status);
    }

    private void choose() {
        if (active) {
            applet.deselect();
            ((TransientMemoryOfChip) transientMemory).deselect();
        }
        currentAID = name;
        active = applet.select();
        if (!active) {
            ISOException.throwIt(ISO7816.SW_APPLET_SELECT_FAILED);
        }
    }

    private byte[] answer(short status) {
        int first = status & 0xF000;
        int high = status & 0xFF00;
        boolean data = first == 0x9000 || high == 0x6100 || high == 0x6200 || high == 0x6300;
        byte[] answer = Arrays.copyOf(responseBuffer, (data ? responseBufferSize : 0) + 2);
        answer[answer.length - 2] = (byte) (status >> 8);
        answer[answer.length - 1] = (byte) status;
        return answer;
    }

    private static byte[] word(short status) {
        return new byte[] {(byte) (status >> 8), (byte) status};
    }

    private static boolean isSelectByName(byte[] command) {
        return command[ISO7816.OFFSET_CLA] == ISO7816.CLA_ISO7816
                && command[ISO7816.OFFSET_INS] == ISO7816.INS_SELECT
                && command[ISO7816.OFFSET_P1] == SELECT_BY_NAME
                && command[ISO7816.OFFSET_P2] == 0;
    }

    private boolean names(byte[] command, ApduCase form) {
        int start = form.isExtended() ? ISO7816.OFFSET_CDATA + 2 : ISO7816.OFFSET_CDATA;
        int length = form.isExtended() ? command[6] & 0xFF : command[ISO7816.OFFSET_LC] & 0xFF;
        boolean whole = length <= AID_BYTES && command.length >= start + length;
        return whole && name.equals(command, (short) start, (byte) length);
    }

    // Transactions

    @Override
    public void beginTransaction() {
        memory.begin();
    }

    @Override
    public void abortTransaction() {
        memory.abort();
    }

    @Override
    public void commitTransaction() {
        memory.commit();
    }

    @Override
    public byte getTransactionDepth() {
        return (byte) (memory.isOpen() ? 1 : 0);
    }

    @Override
    public short getUnusedCommitCapacity() {
        return (short) Math.min(memory.unused(), Short.MAX_VALUE);
    }

    @Override
    public short getMaxCommitCapacity() {
        return (short) Math.min(memory.capacity(), Short.MAX_VALUE);
    }

}
